//! One request in a process of its own: what it costs, and how long that goes on when its client goes.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt};
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, Body};
use tower_claude::layers::{self, OpenClaw};

use crate::inputs::{INPUTS, Input};
use crate::procfs;

/// The arguments by which this program knows what it is.
pub(crate) const STAND_IN: &str = "stand-in";
pub(crate) const MEASURE: &str = "measure";
pub(crate) const BODY: &str = "body";

/// A body comes in pieces of this size.
const PIECE: usize = 64 * 1024;

/// How often a request is sent, of which the quickest counts.
const ROUNDS: usize = 3;

type Api = ApiService<OpenClaw<ClaudeCli>>;

/// What a request has cost. All but the time in bytes.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) bytes: f64,
    pub(crate) cpu: Duration,
    pub(crate) peak: f64,
    pub(crate) sent: f64,
    /// The CPU time that was spent when nobody waited for it any more.
    pub(crate) after_hang_up: Duration,
}

impl Measured {
    pub(crate) fn time_per_byte(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.bytes
    }

    /// Bytes of memory for each byte, beside those that were sent.
    pub(crate) fn memory(&self) -> f64 {
        (self.peak - self.sent) / self.bytes
    }

    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().map(|field| field.parse::<u64>());
        let mut next = || fields.next()?.ok();
        Some(Measured {
            bytes: next()? as f64,
            cpu: Duration::from_nanos(next()?),
            peak: next()? as f64,
            sent: next()? as f64,
            after_hang_up: Duration::from_nanos(next()?),
        })
    }
}

/// The most that a byte takes longer in a request than in a smaller one.
pub(crate) fn growth(measured: &[Measured]) -> f64 {
    let times: Vec<f64> = measured.iter().map(Measured::time_per_byte).collect();
    let pairs =
        times.iter().enumerate().flat_map(|(at, larger)| times[..=at].iter().map(move |smaller| larger / smaller));
    pairs.fold(1.0, f64::max)
}

/// Writes an input of so many millions of bytes to the standard output.
pub(crate) fn write_body(name: &str, megabytes: usize) -> ExitCode {
    std::io::stdout().write_all((input(name).body)(megabytes * 1_000_000).as_bytes()).unwrap();
    ExitCode::SUCCESS
}

fn input(name: &str) -> &'static Input {
    INPUTS.iter().find(|input| input.name == name).expect("an input of that name")
}

/// Measures an input of so many millions of bytes, and prints what `Measured::parse` reads.
pub(crate) fn print(name: &str, megabytes: usize) -> ExitCode {
    let input = input(name);
    let file = tempfile::tempfile().unwrap();
    // Made here, it would leave this process free memory, several times its size, which the request could use unseen.
    let made = Command::new(std::env::current_exe().unwrap())
        .args([BODY, name, &megabytes.to_string()])
        .stdout(file.try_clone().unwrap())
        .status();
    assert!(made.unwrap().success());
    let bytes = file.metadata().unwrap().len() as usize;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_secs(600))
        .enable_all()
        .build()
        .unwrap();
    let measured = runtime.block_on(measure(input, bytes, &file));
    let Measured { bytes, cpu, peak, sent, after_hang_up } = measured;
    println!("{bytes} {} {peak} {sent} {}", cpu.as_nanos(), after_hang_up.as_nanos());
    // A request that nobody waits for may still be worked on.
    std::process::exit(0);
}

async fn measure(input: &Input, bytes: usize, file: &File) -> Measured {
    let claude = ClaudeCli::builder()
        .program(std::env::current_exe().unwrap())
        .args([STAND_IN])
        // Each answer of several leaves a live process.
        .max_processes(40)
        .warm_processes(1)
        .build();
    let api = ApiService::new(layers::OpenClawLayer::new().layer(claude.clone()));
    claude.warm_up();
    let small: Full<Bytes> = Full::from((INPUTS[0].body)(1000));
    assert_eq!(answered(api.clone().oneshot(request(INPUTS[0].path, small)).await).await.0, 200);
    let mut best: Option<Measured> = None;
    for _ in 0..ROUNDS {
        until_warm(&claude).await;
        let (before, written) = (memory("VmRSS:"), written());
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let began = cpu_time();
        let body = Announced { body: StreamBody::new(pieces(file)), length: bytes as u64 };
        // The head of a streamed answer comes when the CLI has heard all of the request.
        let Ok(response) = api.clone().oneshot(request(input.path, body)).await;
        let cpu = cpu_time() - began;
        if response.status().as_u16() != input.status {
            panic!("{:?}", answered(Ok(response)).await);
        }
        if input.answers > 1 {
            // The other turns may have yet to begin.
            answered(Ok(response)).await;
        }
        let peak = memory("VmHWM:") - before;
        let sent = self::written() - written;
        let this = Measured { bytes: bytes as f64, cpu, peak, sent, after_hang_up: Duration::ZERO };
        best = Some(match best {
            Some(best) => Measured { cpu: best.cpu.min(cpu), peak: best.peak.max(peak), ..this },
            None => this,
        });
    }
    let mut best = best.unwrap();
    for share in 1..4 {
        until_warm(&claude).await;
        best.after_hang_up = best.after_hang_up.max(hang_up(&api, input, bytes, file, best.cpu * share / 4).await);
    }
    best
}

/// The CPU time that is spent on a request behind whose body the client is gone.
async fn hang_up(api: &Api, input: &Input, bytes: usize, file: &File, after: Duration) -> Duration {
    let body = Announced { body: StreamBody::new(pieces(file)), length: bytes as u64 };
    let turn = tokio::spawn(answered_of(api.clone(), request(input.path, body)));
    tokio::time::sleep(after).await;
    turn.abort();
    let _ = turn.await;
    let gone = cpu_time();
    let mut last = gone;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = cpu_time();
        if now - last < Duration::from_millis(5) {
            return last - gone;
        }
        last = now;
    }
}

async fn answered_of<B>(api: Api, request: Request<B>) -> (u16, String)
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    answered(api.oneshot(request).await).await
}

async fn answered(response: Result<Response<Body>, Infallible>) -> (u16, String) {
    let Ok(response) = response;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned())
}

fn request<B>(path: &str, body: B) -> Request<B> {
    Request::post(path).header("content-type", "application/json").body(body).unwrap()
}

/// A body whose length is announced, as that of nearly all requests is.
struct Announced<B> {
    body: B,
    length: u64,
}

impl<B: http_body::Body + Unpin> http_body::Body for Announced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// A file as the frames of a body, of which never more than one is in memory.
fn pieces(file: &File) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static {
    let mut file = file.try_clone().unwrap();
    file.rewind().unwrap();
    stream::iter(std::iter::from_fn(move || {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).unwrap();
        piece.truncate(read);
        (read > 0).then(|| Ok(Frame::data(Bytes::from(piece))))
    }))
}

async fn until_warm(claude: &ClaudeCli) {
    for _ in 0..1000 {
        let processes = claude.health().processes;
        if processes.warm == 1 && processes.busy == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no warm process: {:?}", claude.health());
}

/// What this process's threads have had so far. None of them ends meanwhile.
fn cpu_time() -> Duration {
    procfs::cpu_time(std::process::id())
}

/// A line of this process's status, in bytes.
fn memory(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
}

/// What this process has written anywhere, which is to say, to the CLI.
fn written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}
