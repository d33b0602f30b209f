//! Several servers behind a real HAProxy, with the configuration that is shipped: conversations keep their host, and lose no
//! request where hosts go and come.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::support::PATIENCE;
use crate::support::claude_bin::{say_skipped, stand_in};
use crate::support::in_time;
use crate::support::server_process::{ServerProcess, example};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/claude-max-api/deploy/haproxy.cfg");

const HAPROXY: &str = "/usr/sbin/haproxy";

/// How many conversations there are at once.
const CONVERSATIONS: usize = 50;

async fn host(port: u16) -> ServerProcess {
    let mut command = example("claude-max-api");
    command.args([&port.to_string(), "--max-processes", "64", "--warm", "0", "--drain-delay", "4s"]);
    command.env("CLAUDE_BIN", stand_in()).stderr(Stdio::null());
    ServerProcess::start(command).await
}

fn address(host: &ServerProcess) -> String {
    host.url.trim_start_matches("http://").to_owned()
}

/// A running HAProxy in front of hosts, with a fourth one that is not in use yet.
struct Balancer {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    directory: tempfile::TempDir,
    _child: Child,
}

impl Balancer {
    async fn start(hosts: &[ServerProcess]) -> Balancer {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("haproxy.cfg");
        let shipped = std::fs::read_to_string(CONFIGURATION).unwrap();
        std::fs::write(&file, format!("{shipped}    server d {} disabled\n", address(&hosts[3]))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // It is handed on: so the port is one that the system has picked.
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let mut command = Command::new(HAPROXY);
        command.arg("-db").arg("-f").arg(&file).env_clear().env("LISTEN", format!("fd@{descriptor}"));
        command.env("STATS", directory.path().join("stats"));
        for (name, host) in ["HOST_A", "HOST_B", "HOST_C"].into_iter().zip(hosts) {
            command.env(name, address(host));
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let balancer = Balancer { address: listener.local_addr().unwrap(), client, directory, _child: child };
        balancer.until_up(&["a", "b", "c"]).await;
        balancer
    }

    fn stats(&self) -> PathBuf {
        self.directory.path().join("stats")
    }

    async fn tell(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.stats()).await.ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    /// The hosts that take requests.
    async fn up(&self) -> Vec<String> {
        let table = self.tell("show stat").await.unwrap_or_default();
        let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let hosts = rows.filter(|row| row.first() == Some(&"claude") && row.get(1) != Some(&"BACKEND"));
        hosts
            .filter(|row| row.get(17).is_some_and(|state| state.starts_with("UP")))
            .map(|row| row[1].to_owned())
            .collect()
    }

    async fn until_up(&self, wanted: &[&str]) {
        let wait = async {
            while self.up().await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{:?} are up, not {wanted:?}", self.up().await);
    }

    async fn post(&self, path: &str, session: Option<&str>, body: &Value) -> Response<Incoming> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("authorization", "Bearer sk-team");
        if let Some(session) = session {
            request = request.header("x-session-affinity", session);
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        in_time("an answer", self.client.request(request)).await.unwrap()
    }
}

fn header(response: &Response<Incoming>, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

async fn text(response: Response<Incoming>) -> String {
    let body = in_time("an end", response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// A conversation of some client, on any door.
struct Talk {
    number: usize,
    messages: Vec<Value>,
    host: String,
    /// How its last turn came by its process.
    process: String,
}

impl Talk {
    fn new(number: usize) -> Talk {
        Talk { number, messages: Vec::new(), host: String::new(), process: String::new() }
    }

    /// One more turn. It must not fail: whatever happens to a host, it had not begun to answer.
    async fn turn(&mut self, balancer: &Balancer) {
        let anthropic = self.number.is_multiple_of(3);
        if self.messages.is_empty() && !anthropic {
            self.messages.push(json!({"role": "system", "content": "You are one of many. ".repeat(200)}));
        }
        let question = format!("conversation {}, message {}", self.number, self.messages.len());
        self.messages.push(json!({"role": "user", "content": question}));
        let path = if anthropic { "/v1/messages" } else { "/v1/chat/completions" };
        let body = json!({"model": "sonnet", "max_tokens": 1000, "messages": self.messages});
        let response = balancer.post(path, None, &body).await;
        let status = response.status();
        (self.host, self.process) = (header(&response, "x-served-by"), header(&response, "x-claude-process"));
        let body = text(response).await;
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let answer = if anthropic { &body["content"][0]["text"] } else { &body["choices"][0]["message"]["content"] };
        assert!(answer.as_str().unwrap().contains(&question), "{body}");
        self.messages.push(json!({"role": "assistant", "content": answer}));
    }
}

/// A turn of each conversation, a few at a time.
async fn round(balancer: &Arc<Balancer>, talks: Vec<Talk>) -> Vec<Talk> {
    use futures_util::StreamExt;
    let turn = |mut talk: Talk| {
        let balancer = Arc::clone(balancer);
        async move {
            talk.turn(&balancer).await;
            talk
        }
    };
    futures_util::stream::iter(talks.into_iter().map(turn)).buffer_unordered(8).collect().await
}

fn live(talks: &[Talk]) -> usize {
    talks.iter().filter(|talk| talk.process == "live").count()
}

/// Which host each of these sessions is sent to.
async fn places(balancer: &Balancer, sessions: usize) -> HashMap<usize, String> {
    let mut places = HashMap::new();
    let body = json!({"model": "sonnet", "messages": [{"role": "user", "content": "hi"}]});
    for session in 0..sessions {
        let response = balancer.post("/v1/messages/count_tokens", Some(&format!("session {session}")), &body).await;
        places.insert(session, header(&response, "x-served-by"));
    }
    places
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_keep_their_host_and_lose_no_request_where_hosts_go_and_come() {
    if !Path::new(HAPROXY).exists() {
        return say_skipped(&format!("no HAProxy at {HAPROXY} (apt-get install haproxy)"));
    }
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(host(0).await);
    }
    let balancer = Arc::new(Balancer::start(&hosts).await);

    // Each conversation has a host, and its turns after the first are live there.
    let mut talks: Vec<Talk> = (0..CONVERSATIONS).map(Talk::new).collect();
    talks = round(&balancer, talks).await;
    let first: HashMap<usize, String> = talks.iter().map(|talk| (talk.number, talk.host.clone())).collect();
    let (mut turns, mut lived) = (0, 0);
    for _ in 0..4 {
        talks = round(&balancer, talks).await;
        (turns, lived) = (turns + talks.len(), lived + live(&talks));
        assert!(talks.iter().all(|talk| first[&talk.number] == talk.host));
    }
    assert!(lived * 100 >= turns * 99, "{lived} of {turns} turns were live");
    for name in ["a", "b", "c"] {
        let share = first.values().filter(|host| *host == name).count();
        assert!((5..=30).contains(&share), "{name} has {share} of {CONVERSATIONS}");
    }

    // A host is killed while all talk. Nothing fails, and who was there is replayed once.
    let killed = hosts.remove(0);
    let port_of = |host: &ServerProcess| host.url.rsplit(':').next().unwrap().parse().unwrap();
    let port_of_killed = port_of(&killed);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        killed.kill().await;
    };
    (talks, ()) = tokio::join!(round(&balancer, talks), kill);
    balancer.until_up(&["b", "c"]).await;
    talks = round(&balancer, talks).await;
    assert!(talks.iter().all(|talk| talk.host != "a"));
    talks = round(&balancer, talks).await;
    assert_eq!(live(&talks), CONVERSATIONS, "each goes on within one replay");
    let _restarted = host(port_of_killed).await;
    balancer.until_up(&["a", "b", "c"]).await;
    talks = round(&balancer, talks).await;
    talks = round(&balancer, talks).await;
    assert_eq!(live(&talks), CONVERSATIONS, "and back again");

    // A host drains and ends, and comes back.
    let drained = hosts.remove(0);
    let port = port_of(&drained);
    drained.signal(Signal::TERM);
    talks = round(&balancer, talks).await;
    balancer.until_up(&["a", "c"]).await;
    talks = round(&balancer, talks).await;
    let (status, _) = drained.ended().await;
    assert!(status.success(), "nothing was cut: {status}");
    talks = round(&balancer, talks).await;
    assert_eq!(live(&talks), CONVERSATIONS);
    let _again = host(port).await;
    balancer.until_up(&["a", "b", "c"]).await;
    talks = round(&balancer, talks).await;
    talks = round(&balancer, talks).await;
    assert_eq!(live(&talks), CONVERSATIONS);

    // One more host takes its share of the sessions, and the others stay where they are.
    let sessions = 300;
    let before = places(&balancer, sessions).await;
    balancer.tell("enable server claude/d").await.unwrap();
    balancer.until_up(&["a", "b", "c", "d"]).await;
    let after = places(&balancer, sessions).await;
    let moved: Vec<_> = (0..sessions).filter(|session| before[session] != after[session]).collect();
    assert!(moved.iter().all(|session| after[session] == "d"), "nothing moves between the others");
    let share = moved.len() * 100 / sessions;
    assert!((17..=33).contains(&share), "{share} % have moved, not a quarter");
    drop(talks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_response_is_found_on_the_host_that_keeps_it() {
    if !Path::new(HAPROXY).exists() {
        return say_skipped(&format!("no HAProxy at {HAPROXY} (apt-get install haproxy)"));
    }
    let mut hosts = Vec::new();
    for _ in 0..4 {
        hosts.push(host(0).await);
    }
    let balancer = Balancer::start(&hosts).await;
    for number in 0..12 {
        let mut previous = Value::Null;
        let mut keeper = String::new();
        for turn in 0..4 {
            // Nothing in it but the id says which conversation it is.
            let body =
                json!({"model": "sonnet", "input": format!("{number} {turn}"), "previous_response_id": previous});
            let response = balancer.post("/v1/responses", None, &body).await;
            let (host, process) = (header(&response, "x-served-by"), header(&response, "x-claude-process"));
            let id = header(&response, "x-response-id");
            let status = response.status();
            let body: Value = serde_json::from_str(&text(response).await).unwrap();
            assert_eq!((status.as_u16(), body["id"].as_str()), (200, Some(&*id)), "{body}");
            if turn > 0 {
                assert_eq!((&*process, &host), ("live", &keeper));
            }
            (previous, keeper) = (json!(id), host);
        }
        let path = format!("http://{}/v1/responses/{}", balancer.address, previous.as_str().unwrap());
        let request = Request::get(path).header("authorization", "Bearer sk-team").body(Full::default()).unwrap();
        let again = tokio::time::timeout(PATIENCE, balancer.client.request(request)).await.unwrap().unwrap();
        assert_eq!((again.status().as_u16(), header(&again, "x-served-by")), (200, keeper));
    }
}

#[test]
fn the_configuration_for_nginx_is_one_that_it_takes() {
    const NGINX: &str = "/usr/sbin/nginx";
    if !Path::new(NGINX).exists() {
        return say_skipped(&format!("no nginx at {NGINX} (apt-get install nginx-light)"));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/claude-max-api/deploy/nginx.conf");
    let directory = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(NGINX);
    let output = command
        .args(["-t", "-q", "-c", file, "-e", "stderr", "-g", "pid nginx.pid;", "-p"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
