//! [`StripSections`]: removes named sections from the client's instructions.

mod sections;

pub use sections::Sections;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::macros::inner_service_accessors;
use super::predicate::Predicate;
use crate::ChatRequest;
use crate::chat::Message;

/// Removes Markdown sections from system and developer messages, wherever those stand in the conversation.
///
/// [`Sections`] says which, and what a section is. Only the text of those messages changes; a message that is left with nothing
/// stays, with empty text. If the content is an array of parts, each text part is treated as a separate text.
///
/// ```
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::chat::{Message, Role};
/// use tower_claude::layers::{Sections, StripSectionsLayer};
/// use tower_claude::{ChatRequest, ChatResponse, Error, EventStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(StripSectionsLayer::new(Sections::named(["Tooling"])))
///     .service_fn(|request: ChatRequest| async move {
///         assert_eq!(request.messages[0].text(), "You are helpful.\n\n## Style\nTerse.");
///         Ok::<_, Error>(ChatResponse::new(request.model, EventStream::from_iter([])))
///     });
///
/// let prompt = "You are helpful.\n\n## Tooling\n- exec: runs commands\n\n## Style\nTerse.";
/// let messages = vec![Message::new(Role::System, prompt), Message::new(Role::User, "hi")];
/// service.oneshot(ChatRequest::new("opus", messages)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StripSectionsLayer {
    sections: Arc<Sections>,
    predicate: Predicate,
}

impl StripSectionsLayer {
    /// Removes these sections.
    pub fn new(sections: Sections) -> Self {
        StripSectionsLayer { sections: Arc::new(sections), predicate: Predicate::default() }
    }

    /// Changes only requests for which this is true. All, unless set.
    #[must_use]
    pub fn when(mut self, holds: impl Fn(&ChatRequest) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Predicate::new(holds);
        self
    }
}

impl<S> Layer<S> for StripSectionsLayer {
    type Service = StripSections<S>;

    fn layer(&self, inner: S) -> Self::Service {
        StripSections { inner, sections: Arc::clone(&self.sections), predicate: self.predicate.clone() }
    }
}

/// The service that [`StripSectionsLayer`] makes.
#[derive(Clone, Debug)]
pub struct StripSections<S> {
    inner: S,
    sections: Arc<Sections>,
    predicate: Predicate,
}

impl<S> StripSections<S> {
    inner_service_accessors!();
}

impl<S> Service<ChatRequest> for StripSections<S>
where
    S: Service<ChatRequest>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: ChatRequest) -> Self::Future {
        if self.predicate.holds(&request) {
            let instructions = request.messages.iter_mut().filter(|message| message.role.is_instructions());
            instructions.for_each(|message| strip(message, &self.sections));
        }
        self.inner.call(request)
    }
}

fn strip(message: &mut Message, sections: &Sections) {
    for text in message.texts_mut() {
        if let Cow::Owned(stripped) = sections.strip(text) {
            *text = stripped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Content, Part, Role};

    #[test]
    fn each_text_part_is_looked_at_by_itself() {
        let mut image = Part::from_text("## Gone\nx");
        image.kind = "image_url".to_owned();
        let parts = vec![Part::from_text("a\n\n## Gone\nx"), Part::from_text("## Gone\nx"), image.clone()];
        let mut message = Message { content: Some(Content::Parts(parts)), ..Message::new(Role::System, "") };
        strip(&mut message, &Sections::named(["Gone"]));
        let left = vec![Part::from_text("a"), Part::from_text(""), image];
        assert_eq!(message.content, Some(Content::Parts(left)));
    }

    #[test]
    fn a_message_that_is_all_section_stays_with_empty_text() {
        let mut message = Message::new(Role::Developer, "## Gone\nx");
        strip(&mut message, &Sections::named(["Gone"]));
        assert_eq!(message, Message::new(Role::Developer, ""));
    }
}
