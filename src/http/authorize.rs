//! Who asks: the key that came with a request, whether it is the one that is wanted, and the client's session.

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::chat::Caller;
use crate::{Error, ErrorKind};

/// The key that clients must send, if there is one, and what makes a caller of any key.
#[derive(Clone)]
pub(crate) struct Keys {
    wanted: Option<String>,
    /// Hashed with every key. Made anew in each process, unless what is kept by caller outlives that.
    salt: [u8; 16],
}

impl Keys {
    /// Any key will do, and none.
    pub(crate) fn any() -> Self {
        Keys { wanted: None, salt: uuid::Uuid::new_v4().into_bytes() }
    }

    /// From here on only this one will.
    pub(crate) fn want(&mut self, key: String) {
        self.wanted = Some(key);
    }

    /// From here on keys are hashed with this.
    pub(crate) fn salt(&mut self, salt: [u8; 16]) {
        self.salt = salt;
    }

    /// Refuses a request without the key that is wanted.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        match key(headers) {
            Some(sent) if same(sent, wanted.as_bytes()) => Ok(()),
            Some(_) => {
                Err(Error::new(ErrorKind::InvalidApiKey, "The API key is not the one that this server was given."))
            }
            None => Err(Error::new(
                ErrorKind::InvalidApiKey,
                "This server wants its API key. Send it as `Authorization: Bearer KEY`.",
            )),
        }
    }

    /// Who asks: the key as a number that only who has the salt can make of it, and the session.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Caller {
        let session = ["x-session-affinity", "session_id"].into_iter().find_map(|name| headers.get(name));
        Caller {
            key: key(headers).map(|key| self.hash(key)),
            session: session.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let hash = Sha256::new().chain_update(self.salt).chain_update(key).finalize();
        hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
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

/// Whether they are the same, in a time that does not tell where they differ.
fn same(left: &[u8], right: &[u8]) -> bool {
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
    fn anthropics_header_for_the_key_does_as_well() {
        let name = HeaderName::from_static("x-api-key");
        assert_eq!(key_of(name.clone(), "sk-1"), Some(b"sk-1".to_vec()));
        assert_eq!(key_of(name, ""), None);
    }
}
