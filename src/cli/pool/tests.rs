//! The pool over processes that do nothing: what it starts and when, and how it copes with a CLI that does not start.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::chat::{ChatRequest, Message, Role};
use crate::cli::conversation::{Answered, PendingToolCalls, PreparedRequest, Reply};
use crate::cli::prompt::marks::Marks;

/// A hung process must fail its test, not hang it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pool whose CLI prints its version when asked, and otherwise runs this shell command.
pub(super) fn pool(directory: &TempDir, run: &str, configure: impl FnOnce(&mut Config)) -> Pool {
    let program = directory.path().join("claude");
    let script = format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '2.1.328 (Claude Code)'; exit; }}\n{run}\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = Config { program, warm_processes: 0, ..Config::default() };
    configure(&mut config);
    Pool::new(config)
}

async fn lease(pool: &Pool) -> Result<Lease, Error> {
    let caller = Caller::default();
    let lease = pool.lease(&caller, |_| false);
    tokio::time::timeout(PATIENCE, lease).await.expect("a lease in time").map(|(lease, _)| lease)
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

pub(super) fn spawned(pool: &Pool) -> PooledProcess {
    let (place, occupant) = pool.shared.places.take().unwrap();
    pool.shared.spawn(place, occupant, StartPermit(tokio::spawn(async {})), Settings::default()).unwrap()
}

/// A conversation that has this many answers, and waits for the result of a call if it is `parked`.
pub(super) fn conversation(answers: usize, parked: bool) -> Box<LiveConversation> {
    let request = ChatRequest::new("m", [Message::new(Role::User, "hi")]);
    let pending = parked.then(PendingToolCalls::default);
    let answered = Answered { reply: Reply::default(), model: "m".to_owned(), tokens: 0, pending };
    let mut request = PreparedRequest::of(request);
    request.digest();
    let mut held = request.answered(answered, Marks::default(), Default::default());
    held.answers = answers;
    held
}

/// Lets a process hold this conversation from now on.
pub(super) fn hold(pool: &Pool, held: Box<LiveConversation>) {
    let process = spawned(pool);
    pool.shared.lock().live.push((process, held));
}

/// Lets every task run that can, without time passing.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// A pool whose warm process was taken. From here on time passes only when the test says so.
async fn taken(directory: &TempDir) -> (Pool, Lease) {
    let pool = pool(directory, "exec cat > /dev/null", |config| config.warm_processes = 1);
    pool.start();
    until("a warm process", || pool.health().processes.warm == 1).await;
    // Its start no longer counts.
    pool.shared.lock().warm[0].start_permit = None;
    tokio::time::pause();
    let lease = lease(&pool).await.unwrap();
    assert_eq!(lease.origin, Origin::Warm);
    settle().await;
    assert_eq!(pool.health().processes.total, 1);
    (pool, lease)
}

#[tokio::test]
async fn a_taken_warm_process_is_replaced_a_moment_after_the_first_token_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, mut lease) = taken(&directory).await;
    tokio::time::advance(Duration::from_millis(300)).await;
    lease.first_token();
    settle().await;
    tokio::time::advance(Duration::from_millis(98)).await;
    settle().await;
    assert_eq!(pool.health().processes.total, 1, "the first token has the CPU to itself");
    tokio::time::advance(Duration::from_millis(4)).await;
    settle().await;
    assert_eq!((pool.health().processes.total, pool.health().processes.warm), (2, 1));
}

#[tokio::test]
async fn a_taken_warm_process_is_replaced_after_two_seconds_where_its_turn_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, _lease) = taken(&directory).await;
    tokio::time::advance(Duration::from_millis(1990)).await;
    settle().await;
    assert_eq!(pool.health().processes.total, 1);
    tokio::time::advance(Duration::from_millis(20)).await;
    settle().await;
    assert_eq!(pool.health().processes.warm, 1);
}

#[tokio::test]
async fn a_turn_that_is_over_without_a_token_lets_the_next_process_start() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, lease) = taken(&directory).await;
    drop(lease);
    settle().await;
    tokio::time::advance(Duration::from_millis(102)).await;
    settle().await;
    assert_eq!(pool.health().processes.warm, 1);
}

#[tokio::test]
async fn live_turns_one_after_another_do_not_starve_the_warm_process() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, mut fresh) = taken(&directory).await;
    fresh.first_token();
    // A conversation that has a turn every 30 ms, as the pool sees it.
    for _ in 0..4 {
        let permit = pool.shared.queue.try_acquire().unwrap();
        let mut live = pool.lease_of(spawned(&pool), Origin::Live, permit);
        settle().await;
        tokio::time::advance(Duration::from_millis(30)).await;
        live.first_token();
    }
    settle().await;
    assert_eq!(pool.health().processes.warm, 1, "103 ms without the live turns");
}

#[tokio::test]
async fn a_live_process_is_had_at_once_by_who_goes_on_with_its_conversation_unless_others_wait() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.max_processes = 2);
    hold(&pool, conversation(1, false));
    hold(&pool, conversation(2, false));
    assert!(pool.lease_live(|_| false).is_none());
    assert_eq!(pool.shared.queue.held(), 0);
    let (lease, held) = pool.lease_live(|held| held.answers == 1).unwrap();
    assert_eq!((lease.origin, held.map(|held| held.answers)), (Origin::Live, Some(1)));
    assert_eq!((pool.shared.queue.held(), pool.health().requests.live), (1, 1));
    let busy = pool.shared.queue.try_acquire().unwrap();
    assert!(pool.lease_live(|_| true).is_none(), "as many are busy as may be");
    drop(busy);
    assert_eq!(pool.lease_live(|_| true).and_then(|(_, held)| Some(held?.answers)), Some(2));
}

#[tokio::test]
async fn a_live_process_that_has_died_is_counted_and_not_had() {
    let directory = tempfile::tempdir().unwrap();
    let pool = pool(&directory, "exit 3", |_| ());
    hold(&pool, conversation(1, false));
    until("the process's end", || pool.shared.lock().live[0].0.process.has_exited()).await;
    assert!(pool.lease_live(|_| true).is_none());
    assert_eq!(ends(&pool), [("crashed", 1)]);
}

#[tokio::test]
async fn no_more_processes_start_at_once_than_there_are_cpus() {
    let directory = tempfile::tempdir().unwrap();
    let pool = pool(&directory, "exec cat > /dev/null", |config| config.max_processes = 64);
    let cpus = std::thread::available_parallelism().unwrap().get();
    let mut started = Vec::new();
    for _ in 0..cpus {
        started.push(lease(&pool).await.unwrap());
    }
    let mut next = std::pin::pin!(lease(&pool));
    assert!((&mut next).now_or_never().is_none());
    assert_eq!(pool.health().processes.total, cpus);
    // One of them is up.
    started[0].acknowledged();
    settle().await;
    let next = next.now_or_never().expect("a process at once").unwrap();
    assert_eq!((next.origin, pool.health().processes.total), (Origin::Cold, cpus + 1));
}

#[tokio::test]
async fn a_process_that_parks_is_had_by_who_waits_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let pool = pool(&directory, "exec cat > /dev/null", |config| config.max_processes = 64);
    let _held: Vec<_> = std::iter::from_fn(|| pool.shared.starts.try_acquire()).collect();
    let mut next = std::pin::pin!(lease(&pool));
    assert!((&mut next).now_or_never().is_none());
    until("the request to wait to start", || pool.shared.starts.length() == 1 || (&mut next).now_or_never().is_some())
        .await;
    let warm = spawned(&pool);
    pool.shared.lock().warm.push(warm);
    pool.shared.places.process_available();
    assert_eq!(next.await.unwrap().origin, Origin::Warm);
    assert_eq!(pool.shared.starts.length(), 0);
}

/// How often the script was run as a server.
fn starts(log: &Path) -> usize {
    std::fs::read_to_string(log).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn requests_are_refused_while_processes_do_not_start_and_one_tries_again_after_each_pause() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("starts");
    let run = format!("echo >> '{}'; echo 'no licence' >&2; exit 1", log.display());
    let pool = pool(&directory, &run, |_| ());
    for failed in 1..=3 {
        let mut lease = lease(&pool).await.unwrap();
        while let Ok(Some(_)) = lease.pooled.process.line().await {}
        let stderr = lease.pooled.process.stderr_after_exit().await;
        lease.died_unheard(&Error::new(ErrorKind::Cli, stderr));
        drop(lease);
        assert_eq!(starts(&log), failed);
    }
    assert_eq!(pool.health().status, HealthStatus::Degraded);
    for _ in 0..20 {
        let refused = lease(&pool).await.unwrap_err();
        assert_eq!((refused.kind(), refused.status().as_u16()), (ErrorKind::Cli, 502));
        assert!(refused.retry_after().is_some() && refused.to_string().contains("no licence"), "{refused}");
    }
    assert_eq!((starts(&log), pool.health().queue.length, pool.health().processes.busy), (3, 0, 0));

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut again = lease(&pool).await.unwrap();
    assert!(lease(&pool).await.is_err(), "one at a time");
    again.acknowledged();
    assert_eq!(pool.health().status, HealthStatus::Ok);
    lease(&pool).await.unwrap();
}

#[tokio::test]
async fn a_version_that_cannot_be_had_is_asked_for_once_by_all_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("asked");
    let program = directory.path().join("sleeps");
    std::fs::write(&program, format!("#!/bin/sh\necho >> '{}'; sleep 0.2; exit 1\n", log.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let pool = Pool::new(Config { program, ..Config::default() });
    let all = futures_util::future::join_all((0..20).map(|_| pool.version()));
    let all = tokio::time::timeout(PATIENCE, all).await.expect("all answers in time");
    assert!(all.iter().all(Result::is_err));
    assert_eq!(starts(&log), 1);
}

/// A pool over a CLI that reads whatever it is told.
pub(super) fn reading(directory: &TempDir, configure: impl FnOnce(&mut Config)) -> Pool {
    pool(directory, "exec cat > /dev/null", configure)
}

/// The reasons of the processes that have ended.
pub(super) fn ends(pool: &Pool) -> Vec<(&'static str, u64)> {
    pool.status().events.ends.into_iter().collect()
}

#[tokio::test]
async fn a_process_that_ends_with_its_turn_is_counted_by_what_the_turn_came_to() {
    let directory = tempfile::tempdir().unwrap();
    let error = |kind| Error::new(kind, "It broke.");
    type Happens<'a> = &'a dyn Fn(&mut Lease);
    let cases: [(&str, Happens<'_>); 7] = [
        ("abandoned", &|_| ()),
        ("timeout", &|lease| lease.failed(&error(ErrorKind::FirstTokenTimeout))),
        ("timeout", &|lease| lease.failed(&error(ErrorKind::RequestTimeout))),
        ("failed", &|lease| lease.failed(&error(ErrorKind::Overloaded))),
        ("crashed", &|lease| lease.crashed()),
        // What the turn says of it is that it failed.
        ("crashed", &|lease| {
            lease.crashed();
            lease.failed(&error(ErrorKind::Cli));
        }),
        ("unusable", &|lease| lease.unusable()),
    ];
    for (reason, happens) in cases {
        let pool = reading(&directory, |_| ());
        let mut lease = lease(&pool).await.unwrap();
        happens(&mut lease);
        assert_eq!(ends(&pool), []);
        drop(lease);
        assert_eq!(ends(&pool), [(reason, 1)]);
    }
}

#[tokio::test]
async fn a_process_is_counted_by_what_it_waits_for() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |_| ());
    hold(&pool, conversation(1, false));
    hold(&pool, conversation(1, true));
    hold(&pool, conversation(2, true));
    let processes = pool.health().processes;
    assert_eq!((processes.live, processes.parked, processes.total), (1, 2, 3));
}

#[tokio::test]
async fn a_server_that_keeps_no_process_warm_is_ready_from_the_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |_| ());
    pool.start();
    settle().await;
    assert_eq!(pool.ready(), Ok(()));
}

#[tokio::test]
async fn a_server_that_has_served_a_request_is_ready_while_the_next_process_starts() {
    let directory = tempfile::tempdir().unwrap();
    let (pool, _lease) = taken(&directory).await;
    assert_eq!((pool.health().processes.warm, pool.ready()), (0, Ok(())));
}

#[tokio::test]
async fn the_maintainer_ends_with_the_pool() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |_| ());
    let wake = Arc::clone(&pool.shared.maintainer);
    pool.start();
    until("the version", || pool.health().claude_code_version.is_some()).await;
    settle().await;
    drop(pool);
    until("the maintainer's end", || Arc::strong_count(&wake) == 1).await;
}

#[tokio::test]
async fn a_server_that_keeps_a_process_warm_is_ready_once_that_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.warm_processes = 1);
    assert_eq!(pool.ready(), Ok(()), "nobody has asked for a warm one");
    pool.start();
    assert_eq!(pool.ready(), Err(NotReady::Starting));
    until("a warm process", || pool.health().processes.warm == 1).await;
    assert_eq!(pool.ready(), Ok(()));
}

#[tokio::test]
async fn a_live_conversation_is_enough_to_be_ready() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.warm_processes = 1);
    hold(&pool, conversation(1, false));
    pool.shared.maintainer_runs.store(true, Ordering::Relaxed);
    assert_eq!(pool.ready(), Ok(()));
}

#[tokio::test]
async fn a_server_is_not_ready_while_it_has_no_process_and_no_place_in_the_queue_for_another_request() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| (config.max_processes, config.queue_limit) = (1, 1));
    assert_eq!((pool.ready(), pool.health().processes.busy), (Ok(()), 0));
    let busy = lease(&pool).await.unwrap();
    assert_eq!((pool.ready(), pool.health().processes.busy), (Ok(()), 1), "the next request would wait");
    let mut waits = std::pin::pin!(lease(&pool));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(pool.ready(), Err(NotReady::Full));
    drop(busy);
    waits.await.unwrap();
    assert_eq!(pool.ready(), Ok(()));
}

#[tokio::test]
async fn a_server_whose_processes_do_not_start_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |_| ());
    for _ in 0..3 {
        assert_eq!(pool.ready(), Ok(()));
        pool.shared.lock().circuit.failed(Instant::now(), Error::new(ErrorKind::Cli, "It broke."));
    }
    assert_eq!(pool.ready(), Err(NotReady::Degraded));
}

#[tokio::test]
async fn a_conversation_gives_way_to_a_request_that_waits_for_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.max_processes = 1);
    hold(&pool, conversation(1, false));
    let _lease = lease(&pool).await.unwrap();
    assert_eq!(ends(&pool), [("evicted", 1)]);
}

#[tokio::test]
async fn the_least_recently_used_conversation_gives_way_and_not_a_later_question() {
    let directory = tempfile::tempdir().unwrap();
    let pool = reading(&directory, |config| config.max_processes = 2);
    hold(&pool, conversation(7, false));
    hold(&pool, conversation(1, false));
    let _lease = lease(&pool).await.unwrap();
    let left: Vec<_> = pool.shared.lock().live.iter().map(|(_, held)| held.answers).collect();
    assert_eq!((left, ends(&pool)), (vec![1], vec![("evicted", 1)]));
}

#[test]
fn replays_are_counted_by_reason() {
    let pool = Pool::new(Config::default());
    ["history", "system", "history"].iter().for_each(|reason| pool.replayed(reason));
    let replays: Vec<_> = pool.status().events.replays.into_iter().collect();
    assert_eq!(replays, [("history", 2), ("system", 1)]);
}
