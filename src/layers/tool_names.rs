//! [`ToolNames`]: a function has one name for the client and another for the model.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::{inner_service_accessors, opaque_future};
use super::predicate::Predicate;
use crate::chat::{Events, Role, ToolChoice, Translate, TranslateFuture};
use crate::{ChatEvent, ChatRequest, ChatResponse, Error};

/// Renames functions on the way in, and back on the way out.
///
/// On the way in, functions in `tools`, in `tool_choice` and in the history's calls are renamed by the table; on the way
/// out, calls get the client's names back. A table may map several names to one, since the way back is derived from the
/// functions that each request offers. If two of those would get the same name, or one would get the name of a function
/// that is not in the table, the later one keeps its own.
///
/// If a request offers no function to rename, its answer is passed on untouched.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::layers::ToolNamesLayer;
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = ServiceBuilder::new()
///     .layer(ToolNamesLayer::new([("exec", "Bash"), ("process", "Bash")]))
///     .service_fn(|request: ChatRequest| async move {
///         let names: Vec<_> = request.functions().map(|function| function.name.as_str()).collect();
///         assert_eq!(names, ["Bash", "process"]);
///         Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
///     });
///
/// let request: ChatRequest = serde_json::from_str(
///     r#"{"model": "opus", "messages": [], "tools": [
///         {"type": "function", "function": {"name": "exec"}},
///         {"type": "function", "function": {"name": "process"}}]}"#,
/// )?;
/// service.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ToolNamesLayer {
    table: Arc<HashMap<String, String>>,
    predicate: Predicate,
}

impl ToolNamesLayer {
    /// Renames by this table of pairs: the client's name, then the model's. If a name occurs twice, the last pair wins.
    pub fn new<C: Into<String>, M: Into<String>>(names: impl IntoIterator<Item = (C, M)>) -> Self {
        let table = names.into_iter().map(|(client, model)| (client.into(), model.into()));
        let table = table.filter(|(client, model)| client != model).collect();
        ToolNamesLayer { table: Arc::new(table), predicate: Predicate::default() }
    }

    /// Changes only requests for which this is true. All, unless set.
    #[must_use]
    pub fn when(mut self, holds: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Predicate::new(holds);
        self
    }
}

impl<S> Layer<S> for ToolNamesLayer {
    type Service = ToolNames<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ToolNames { inner, table: Arc::clone(&self.table), predicate: self.predicate.clone() }
    }
}

/// The service that [`ToolNamesLayer`] makes.
#[derive(Clone, Debug)]
pub struct ToolNames<S> {
    inner: S,
    table: Arc<HashMap<String, String>>,
    predicate: Predicate,
}

impl<S> ToolNames<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for ToolNames<S>
where
    S: Service<ChatRequest, Response = ChatResponse, Error: Into<Error>>,
{
    type Response = ChatResponse;
    type Error = Error;
    type Future = ToolNamesFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        let mut back = None;
        if !self.table.is_empty() && self.predicate.holds(&request) {
            let names = Names::new(&self.table, request.functions().map(|function| function.name.as_str()));
            names.rename(&mut request);
            back = Some(names.back()).filter(|names| !names.is_empty()).map(|names| Back { names });
        }
        ToolNamesFuture::new(TranslateFuture::new(self.inner.call(request), back))
    }
}

/// The names of one request.
struct Names<'a> {
    table: &'a HashMap<String, String>,
    /// The model's names of the offered functions that are renamed, by the client's.
    forward: HashMap<String, &'a str>,
    /// The model's names of all offered functions.
    taken: HashSet<String>,
}

impl<'a> Names<'a> {
    fn new<'r>(table: &'a HashMap<String, String>, offered: impl Iterator<Item = &'r str>) -> Self {
        let offered: Vec<&str> = offered.collect();
        let mut kept: HashSet<&str> = offered.iter().copied().filter(|name| !table.contains_key(*name)).collect();
        // Keeping a name may take it from an earlier function, so this goes round until no more keep theirs.
        loop {
            let before = kept.len();
            let mut taken = kept.clone();
            let mut forward = HashMap::new();
            for name in &offered {
                match table.get(*name) {
                    Some(target) if !kept.contains(name) && !forward.contains_key(*name) => {
                        if taken.insert(target) {
                            forward.insert((*name).to_owned(), target.as_str());
                        } else {
                            kept.insert(name);
                        }
                    }
                    _ => {}
                }
            }
            if kept.len() == before {
                return Names { table, forward, taken: taken.into_iter().map(str::to_owned).collect() };
            }
        }
    }

    /// The model's name for a function, if it is another. A function that is only in the history is renamed by the table too,
    /// unless it would be taken for one that is offered.
    fn get(&self, name: &str) -> Option<&'a str> {
        let unoffered = || self.table.get(name).filter(|target| !self.taken.contains(*target)).map(String::as_str);
        self.forward.get(name).copied().or_else(unoffered)
    }

    fn rename(&self, request: &mut ChatRequest) {
        let rename = |name: &mut String| {
            if let Some(target) = self.get(name) {
                target.clone_into(name);
            }
        };
        request.functions_mut().for_each(|function| rename(&mut function.name));
        match &mut request.tool_choice {
            Some(ToolChoice::Function(name)) => rename(name),
            Some(ToolChoice::Allowed { names, .. }) => names.iter_mut().for_each(rename),
            _ => {}
        }
        for message in &mut request.messages {
            message.tool_calls.iter_mut().flatten().for_each(|call| rename(&mut call.function.name));
            if let (Role::Tool | Role::Function, Some(name)) = (message.role, &mut message.name) {
                rename(name);
            }
        }
    }

    fn back(self) -> HashMap<String, String> {
        self.forward.into_iter().map(|(client, model)| (model.to_owned(), client)).collect()
    }
}

opaque_future! {
    /// The response future of [`ToolNames`].
    pub struct ToolNamesFuture<F>(TranslateFuture<F, Back>);
}

/// Gives calls the client's names back.
#[derive(Debug)]
struct Back {
    names: HashMap<String, String>,
}

impl Translate for Back {
    fn event(&mut self, mut event: ChatEvent, out: &mut Events) {
        if let ChatEvent::ToolCallStart { name, .. } = &mut event
            && let Some(client) = self.names.get(name)
        {
            name.clone_from(client);
        }
        out.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(client, model)| ((*client).to_owned(), (*model).to_owned())).collect()
    }

    /// The model's names for functions that a client offers in this order.
    fn given<'a>(table: &'a HashMap<String, String>, offered: &[&'a str]) -> Vec<&'a str> {
        let names = Names::new(table, offered.iter().copied());
        offered.iter().map(|name| names.get(name).unwrap_or(name)).collect()
    }

    #[test]
    fn the_second_of_two_that_would_collide_keeps_its_own_name() {
        let table = table(&[("exec", "Bash"), ("process", "Bash"), ("ls", "Bash")]);
        assert_eq!(given(&table, &["exec", "process", "ls"]), ["Bash", "process", "ls"]);
        assert_eq!(given(&table, &["process", "exec"]), ["Bash", "exec"]);
    }

    #[test]
    fn no_function_gets_the_name_of_one_that_is_not_in_the_table() {
        let table = table(&[("exec", "Bash"), ("process", "Bash")]);
        assert_eq!(given(&table, &["exec", "process", "Bash"]), ["exec", "process", "Bash"]);
    }

    #[test]
    fn the_name_that_is_kept_is_taken_from_no_other() {
        let table = table(&[("a", "b"), ("b", "c"), ("d", "c")]);
        assert_eq!(given(&table, &["a", "b"]), ["b", "c"]);
        assert_eq!(given(&table, &["d", "a", "b"]), ["c", "a", "b"]);
    }

    #[test]
    fn names_can_be_swapped_and_offered_twice() {
        let table = table(&[("a", "b"), ("b", "a")]);
        assert_eq!(given(&table, &["a", "b", "a"]), ["b", "a", "b"]);
    }

    #[test]
    fn a_call_of_a_function_no_longer_offered_goes_by_the_table_unless_it_would_pass_for_another() {
        let table = table(&[("exec", "Bash"), ("process", "Bash"), ("read", "Read")]);
        let names = Names::new(&table, ["exec"].into_iter());
        assert_eq!(names.get("read"), Some("Read"));
        assert_eq!(names.get("process"), None);
        assert_eq!(names.get("Bash"), None);
    }

    #[test]
    fn a_call_of_a_function_no_longer_offered_does_not_pass_for_the_one_that_has_its_name_now() {
        let table = table(&[("a", "b"), ("b", "c")]);
        let names = Names::new(&table, ["a"].into_iter());
        assert_eq!((names.get("a"), names.get("b")), (Some("b"), Some("c")));
    }

    proptest::proptest! {
        #[test]
        fn every_function_gets_a_name_of_its_own_and_its_old_one_back(
            pairs in proptest::collection::vec(("[a-f]", "[a-f]"), 0..8),
            mut offered in proptest::collection::vec("[a-h]", 0..8),
        ) {
            offered.sort();
            offered.dedup();
            let table: HashMap<String, String> = pairs.into_iter().filter(|(client, model)| client != model).collect();
            let names = Names::new(&table, offered.iter().map(String::as_str));
            let given: Vec<String> =
                offered.iter().map(|name| names.get(name).unwrap_or(name).to_owned()).collect();
            proptest::prop_assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len());
            let back = names.back();
            let returned: Vec<_> = given.iter().map(|name| back.get(name).unwrap_or(name).clone()).collect();
            proptest::prop_assert_eq!(returned, offered);
        }
    }
}
