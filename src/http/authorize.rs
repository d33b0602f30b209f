//! Who is asking: the key that came with a request, whether it is a known one, and the client's session.

use std::sync::Arc;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::chat::Caller;
use crate::{Error, ErrorKind};

/// The keys that clients may send, if any are required, and the salt that turns a key into a [`Caller`].
#[derive(Clone)]
pub(crate) struct Keys {
    required: Option<Vec<Key>>,
    /// Hashed with every key. New in each process, unless a store that outlives the process brings its own.
    salt: [u8; 16],
}

/// A known key, and its holder's name, if the operator gave one.
#[derive(Clone)]
struct Key {
    name: Option<Arc<str>>,
    key: String,
}

impl Keys {
    /// Lets in any key, and requests without one.
    pub(crate) fn any() -> Self {
        Keys { required: None, salt: uuid::Uuid::new_v4().into_bytes() }
    }

    /// Requires a key: one of these, or of those added before.
    pub(crate) fn require(&mut self, keys: impl IntoIterator<Item = (Option<String>, String)>) {
        let keys = keys.into_iter().map(|(name, key)| Key { name: name.map(Arc::from), key });
        self.required.get_or_insert_default().extend(keys);
    }

    /// Hashes keys with this salt from now on.
    pub(crate) fn salt(&mut self, salt: [u8; 16]) {
        self.salt = salt;
    }

    /// Refuses a request without a known key, if one is required.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(required) = &self.required else { return Ok(()) };
        // Both messages begin like OpenAI's own: some programs match on the text.
        let message = match key(headers) {
            Some(sent) if find(required, sent).is_some() => return Ok(()),
            Some(sent) => format!(
                "Incorrect API key provided: {}. It is not one that this server was given: ask who runs it.",
                masked(sent)
            ),
            None => {
                "You didn't provide an API key. Send one that this server was given, as `Authorization: Bearer KEY`."
                    .to_owned()
            }
        };
        Err(Error::new(ErrorKind::InvalidApiKey, message))
    }

    /// The name of the key that came with a request, if the key is known and has one.
    pub(crate) fn name(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        find(self.required.as_ref()?, key(headers)?)?.name.clone()
    }

    /// The caller: the key as a number that cannot be computed without the salt, the key's name, and the session.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Caller {
        let session = ["x-session-affinity", "session_id"].into_iter().find_map(|name| headers.get(name));
        Caller {
            key: key(headers).map(|key| self.hash(key)),
            name: self.name(headers),
            session: session.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let hash = Sha256::new().chain_update(self.salt).chain_update(key).finalize();
        hash.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}

/// The known key that was sent. All keys are compared to their end, so the time taken does not tell how close a guess was.
fn find<'a>(required: &'a [Key], sent: &[u8]) -> Option<&'a Key> {
    required
        .iter()
        .fold(None, |found, key| if equal_in_constant_time(sent, key.key.as_bytes()) { Some(key) } else { found })
}

/// The key of a request: `Authorization: Bearer KEY`, or Anthropic's `x-api-key: KEY`.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    bearer(headers).or_else(|| {
        let key = headers.get("x-api-key")?.as_bytes().trim_ascii();
        (!key.is_empty()).then_some(key)
    })
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes().trim_ascii();
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// A key in a form that may be shown to its sender: both ends of a long one, nothing of a short one.
fn masked(key: &[u8]) -> String {
    const SHOWN: usize = 4;
    match std::str::from_utf8(key) {
        Ok(key) if key.len() >= 4 * SHOWN && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            format!("{}***{}", &key[..SHOWN], &key[key.len() - SHOWN..])
        }
        _ => "***".to_owned(),
    }
}

/// Whether the two are equal, in a time that does not depend on where they differ.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    std::hint::black_box(difference) == 0 && left.len() == right.len()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn key_of(name: HeaderName, value: &'static str) -> Option<Vec<u8>> {
        key(&HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_bearer_token_is_taken_in_any_case_of_its_scheme() {
        let of = |value| key_of(header::AUTHORIZATION, value);
        assert_eq!(of("bearer  sk-1"), Some(b"sk-1".to_vec()));
        assert_eq!(of("Basic sk-1"), None);
        assert_eq!(of("Bearer "), None);
    }

    #[test]
    fn each_key_has_its_name_and_none_other_is_let_in() {
        let mut keys = Keys::any();
        keys.require([(Some("ada".to_owned()), "sk-1".to_owned()), (None, "sk-2".to_owned())]);
        keys.require([(Some("bob".to_owned()), "sk-3".to_owned())]);
        let sent = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, http::HeaderValue::from_static(value))])
        };
        let name = |value| keys.name(&sent(value)).as_deref().map(str::to_owned);
        assert_eq!(name("Bearer sk-1").as_deref(), Some("ada"));
        assert_eq!(name("Bearer sk-2"), None);
        assert_eq!(name("Bearer sk-3").as_deref(), Some("bob"));
        let strangers = ["sk-", "sk-11", "ks-1"].map(|key| (key, false));
        for (value, let_in) in [("sk-1", true), ("sk-2", true), ("sk-3", true)].into_iter().chain(strangers) {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-api-key"), http::HeaderValue::from_static(value))]);
            assert_eq!(keys.check(&headers).is_ok(), let_in, "{value}");
        }
    }

    #[test]
    fn a_caller_is_a_key_a_name_and_a_session() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pair = |(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value));
            pairs.iter().copied().map(pair).collect()
        };
        let mut keys = Keys::any();
        keys.require([(Some("ada".to_owned()), "sk-1".to_owned())]);
        let ada = keys.caller(&headers(&[("authorization", "Bearer sk-1"), ("session_id", "s")]));
        assert_eq!((ada.name.as_deref(), ada.session.as_deref()), (Some("ada"), Some("s")));
        assert_eq!(keys.caller(&headers(&[("x-api-key", "sk-1"), ("x-session-affinity", "s")])), ada);
        assert_ne!(keys.caller(&headers(&[("x-api-key", "sk-1")])), ada);
        assert_ne!(keys.caller(&headers(&[("x-api-key", "sk-2"), ("session_id", "s")])).key, ada.key);
        assert_eq!(keys.caller(&HeaderMap::new()), Caller::default());
    }

    #[test]
    fn a_key_is_told_by_its_hash_which_a_store_finds_again_by_its_salt_and_nobody_else_can_compute() {
        let mut keys = Keys::any();
        assert_ne!(keys.hash(b"sk-1"), Keys::any().hash(b"sk-1"), "each process has a salt of its own");
        keys.salt([0; 16]);
        // The first eight bytes of the SHA-256 of the salt and the key.
        assert_eq!(keys.hash(b"sk-1"), 0xf2e1_ff77_94a5_5b21);
    }

    #[test]
    fn a_list_of_no_keys_lets_nobody_in() {
        let mut keys = Keys::any();
        assert!(keys.check(&HeaderMap::new()).is_ok());
        keys.require([]);
        assert!(keys.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn of_a_key_that_is_refused_no_more_than_its_ends_are_shown() {
        assert_eq!(masked(b"sk-proj-0123456789abcdef"), "sk-p***cdef");
        for short_or_odd in [&b"sk-local"[..], b"fifteen-letters", "sk-proj-0123456789abcdé".as_bytes(), b"\xff\xfe"] {
            assert_eq!(masked(short_or_odd), "***");
        }
    }

    #[test]
    fn anthropics_header_for_the_key_does_as_well() {
        let name = HeaderName::from_static("x-api-key");
        assert_eq!(key_of(name.clone(), "sk-1"), Some(b"sk-1".to_vec()));
        assert_eq!(key_of(name, ""), None);
    }
}
