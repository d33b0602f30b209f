//! There are never more processes than `max_processes`, those included that are just ending: counted by the kernel.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tower_claude::cli::{ClaudeCli, ClaudeCliBuilder};

use crate::support::chat::{Chat, ask_once, call, hear_until, in_time, messages, request, until, user};
use crate::support::claude_bin::stand_in;
use crate::support::process::{is_child, runs};

/// Stand-ins that note their pids in this directory as soon as they run, and do this before they are stand-ins.
fn noted(directory: &Path, first: &str) -> ClaudeCliBuilder {
    let (directory, stand_in) = (directory.display(), stand_in());
    let script =
        format!("[ \"$1\" = --version ] || : > '{directory}'/$$; {first}; exec '{}' \"$@\"", stand_in.display());
    ClaudeCli::builder().program("sh").args(["-c", &script, "sh"])
}

fn started(directory: &Path) -> Vec<u32> {
    let files = std::fs::read_dir(directory).unwrap();
    files.map(|file| file.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Watches how many there are at once.
struct Count {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<usize>,
}

impl Count {
    fn start(directory: &Path) -> Count {
        let (directory, over) = (directory.to_owned(), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !stop.load(Ordering::Acquire) {
                most = most.max(started(&directory).into_iter().filter(|pid| is_child(*pid)).count());
                std::thread::sleep(Duration::from_micros(500));
            }
            most
        });
        Count { over, thread }
    }

    fn most(self) -> usize {
        self.over.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_new_conversations() {
    let directory = tempfile::tempdir().unwrap();
    let claude = noted(directory.path(), ":").warm_processes(2).max_processes(4).build();
    let count = Count::start(directory.path());
    let requests = (0..50).map(|number| {
        let claude = claude.clone();
        tokio::spawn(async move { ask_once(&claude, &format!("[[slow 1 count 3]] {number}")).await.text })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(in_time("an answer", request).await.unwrap(), "w0 w1 w2 ");
    }
    let most = count.most();
    assert!((2..=4).contains(&most), "{most} processes at once");
    assert!(started(directory.path()).len() > 20, "most of the conversations gave way to others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up() {
    let directory = tempfile::tempdir().unwrap();
    // As a CLI does that ends the work of its tools first.
    let slow_to_end = "trap 'sleep 0.05; exit' TERM; sleep 0.01";
    for builder in [noted(directory.path(), ":"), noted(directory.path(), slow_to_end).builtin_tools(["Bash"])] {
        let claude = builder.warm_processes(1).max_processes(3).build();
        let count = Count::start(directory.path());
        let clients = (0..6).map(|client| {
            let claude = claude.clone();
            tokio::spawn(async move {
                for turn in 0..6 {
                    let asked = request(messages([user(&format!("[[slow 5 count 1000]] {client} {turn}"))]));
                    let mut response = call(&claude, asked).await.unwrap();
                    if turn % 2 == 0 {
                        hear_until(&mut response.events, "w1 ").await;
                    }
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            in_time("the last of the turns", client).await.unwrap();
        }
        let most = count.most();
        assert!((1..=3).contains(&most), "{most} processes at once");
        assert_eq!(claude.health().processes.busy, 0);
    }
}

#[tokio::test]
async fn a_process_that_does_not_end_when_told_to_is_killed_and_counts_until_then() {
    let directory = tempfile::tempdir().unwrap();
    let stays = format!("trap '' TERM; '{}' \"$@\"; [ \"$1\" = --version ] && exit; sleep 1000", stand_in().display());
    let claude = noted(directory.path(), &stays).builtin_tools(["Bash"]).warm_processes(0).max_processes(1).build();
    // It waits for its conversation to go on, and another one needs its place.
    assert_eq!(in_time("the first answer", ask_once(&claude, "hello")).await.text, "echo: hello");
    let pid = started(directory.path())[0];
    let began = Instant::now();
    let mut next = std::pin::pin!(ask_once(&claude, "hi"));
    assert!((&mut next).now_or_never().is_none());
    assert_eq!(claude.health().processes.total, 1);
    assert_eq!(in_time("the answer", next).await.text, "echo: hi");
    assert!(!runs(pid) && !is_child(pid));
    assert!(began.elapsed() >= Duration::from_millis(900), "it had time to end in: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_conversation_that_gives_way_is_killed_at_once_unless_it_has_work_of_its_own_to_end() {
    for (tools, told_to_end) in [(vec![], 0), (vec!["Bash"], 1)] {
        let directory = tempfile::tempdir().unwrap();
        let told = directory.path().join("told");
        let script = format!(
            "[ \"$1\" = --version ] && exec '{stand_in}' \"$@\"; trap \"echo >> '{told}'; exit\" TERM; \
             exec 3<&0; '{stand_in}' \"$@\" <&3 & wait",
            stand_in = stand_in().display(),
            told = told.display()
        );
        let builder = ClaudeCli::builder().program("sh").args(["-c", &script, "sh"]).builtin_tools(tools);
        let claude = builder.warm_processes(0).max_processes(1).build();
        let told = || std::fs::read_to_string(&told).unwrap_or_default().lines().count();
        Chat::new(&claude).say("one").await;
        assert_eq!(ask_once(&claude, "another").await.process, "cold");
        assert_eq!(told(), told_to_end);
        drop(claude);
        until("the other, for whose place nobody waits, to be told", || told() == told_to_end + 1).await;
    }
}
