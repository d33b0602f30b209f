//! The commands of the README and of the page on the API, against the demonstration that the README tells of.

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;

use crate::support::answer::Answer;
use crate::support::schema;
use crate::support::server_process::{ServerProcess, example};

const PAGES: &str =
    concat!(include_str!("../../../README.md"), include_str!("../../../examples/claude-max-api/api.md"));

/// What one of the `curl` commands sends.
struct Curl {
    command: String,
    path: String,
    request: Request<Full<Bytes>>,
}

impl Curl {
    /// Reads those options of curl that the pages use.
    fn parse(command: &str) -> Curl {
        let mut words = words(command).into_iter().skip(1);
        let (mut headers, mut data, mut path) = (Vec::new(), None, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-H" => headers.push(words.next().unwrap()),
                "-d" => data = words.next(),
                "-N" | "-i" | "-s" => {}
                url => path = Some(url.parse::<Uri>().unwrap().path().to_owned()),
            }
        }
        let mut request = if data.is_some() { Request::post("/") } else { Request::get("/") };
        for header in headers {
            let (name, value) = header.split_once(':').unwrap();
            request = request.header(name, value.trim());
        }
        let request = request.body(Full::from(data.unwrap_or_default())).unwrap();
        Curl { command: command.to_owned(), path: path.expect("the command has a URL"), request }
    }
}

/// The commands in the pages' shell blocks that begin with `curl`, each with its continued lines.
fn commands() -> Vec<String> {
    let mut commands = Vec::new();
    for block in PAGES.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", " ");
        let mut open: Option<String> = None;
        for line in block.lines() {
            let mut command = match open.take() {
                Some(command) => command + "\n" + line,
                None if line.starts_with("curl ") => line.to_owned(),
                None => continue,
            };
            // A quoted argument may go on in the next line.
            if command.matches('\'').count() % 2 == 1 {
                open = Some(std::mem::take(&mut command));
            } else {
                commands.push(command);
            }
        }
        assert_eq!(open, None, "a quote is open");
    }
    commands
}

/// The words of a shell command that has no quotes but single ones.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (i, piece) in command.split('\'').enumerate() {
        if i % 2 == 1 {
            words.last_mut().unwrap().push_str(piece);
            continue;
        }
        for (j, bare) in piece.split([' ', '\n']).enumerate() {
            if j > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(bare);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[tokio::test]
async fn the_demonstration_answers_every_curl_command() {
    let mut command = example("claude-max-api");
    command.args(["--demo", "--port", "0"]);
    let server = ServerProcess::start(command).await;
    assert_eq!(server.announced, format!("Listening on {}/v1 (demo: a stand-in answers, not Claude)", server.url));

    let commands = commands();
    assert!(commands.len() >= 5, "{commands:#?}");
    let mut streams = 0;
    for curl in commands.iter().map(|command| Curl::parse(command)) {
        let answer = Answer::of(server.send(&curl.path, curl.request).await).await;
        assert_eq!(answer.status, 200, "{}\n{}", curl.command, answer.text());
        match curl.path.as_str() {
            "/v1/chat/completions" if answer.headers["content-type"] == "text/event-stream" => {
                answer.chunks().iter().for_each(schema::assert_valid_chunk);
                streams += 1;
            }
            "/v1/chat/completions" => schema::assert_valid_completion(&answer.json()),
            "/v1/models" => schema::assert_valid_models(&answer.json()),
            "/health" => assert_eq!(answer.json()["status"], "ok"),
            path => panic!("an answer from {path} that nobody has looked at"),
        }
    }
    assert!(streams > 0, "a stream is shown");
}

#[test]
fn the_words_of_a_command_are_those_of_the_shell() {
    assert_eq!(words("curl -H 'a: b'  x\n-d '{\"c\":\n\"d\"}'"), ["curl", "-H", "a: b", "x", "-d", "{\"c\":\n\"d\"}"]);
}

#[test]
fn what_the_pages_link_to_is_there() {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = package.join("examples/claude-max-api");
    let pages = ["api.md", "benchmarks.md", "clients.md", "operating.md"].map(|page| server.join(page));
    for page in pages.into_iter().chain([package.join("README.md")]) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("https:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let target = std::fs::read_to_string(&target).unwrap_or_else(|_| panic!("{}: no {link}", page.display()));
            assert!(
                heading.is_empty() || anchors(&target).any(|anchor| anchor == heading),
                "{}: {link}",
                page.display()
            );
        }
    }
}

/// The names that headings have in links.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    })
}
