//! Checks the settings that are fields of a chat request against what the inner service can do, whatever the door.

use super::door::Door;
use super::fields::unsupported;
use crate::chat::abilities::Ability;
use crate::chat::{Abilities, ChatRequest, Content};
use crate::{Error, ErrorKind};

/// Adds settings that have no effect to `ignored`, under the door's names for them.
///
/// # Errors
/// 400 if the request has a setting, or a kind of part, that the inner service refuses.
pub(crate) fn check<D: Door>(
    door: &D,
    request: &ChatRequest,
    abilities: &Abilities,
    ignored: &mut Vec<String>,
) -> Result<(), Error> {
    for (setting, is_set) in [
        ("max_completion_tokens", request.token_limit().is_some()),
        ("parallel_tool_calls", request.parallel_tool_calls.is_some()),
        ("prompt_cache_key", request.prompt_cache_key.is_some()),
        ("reasoning_effort", request.reasoning_effort.is_some()),
        ("response_format", request.response_format.as_ref().is_some_and(|format| format.kind != "text")),
        ("tools", request.functions().next().is_some()),
    ] {
        match abilities.of(setting).filter(|_| is_set) {
            Some(Ability::Ignored) => ignored.push(door.name_of(setting).to_owned()),
            Some(Ability::Refused(advice)) => {
                let name = door.name_of(setting);
                return Err(unsupported(name, format!("`{name}` is not supported. {advice}")));
            }
            Some(Ability::Honoured) | None => {}
        }
    }
    check_parts(request, abilities)
}

/// Checks the kinds of parts: the inner service may not read images, for example.
fn check_parts(request: &ChatRequest, abilities: &Abilities) -> Result<(), Error> {
    for (i, message) in request.messages.iter().enumerate() {
        let Some(Content::Parts(parts)) = &message.content else { continue };
        for (j, part) in parts.iter().enumerate() {
            if let Some(Ability::Refused(advice)) = abilities.of(&part.kind) {
                let message = format!("Parts of type {:?} are not supported. {advice}", part.kind);
                let refusal = Error::new(ErrorKind::UnsupportedParameter, message);
                return Err(refusal.with_param(format!("messages[{i}].content[{j}].type")));
            }
        }
    }
    Ok(())
}
