//! The operator's own routes next to the API's, behind the same guard and keys: a page, metrics, a status.

use std::sync::Arc;

use http::{Method, Response, header};

use super::body::Body;

/// Who may use a route of the operator's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everyone who can reach the server.
    Open,
    /// Everyone who sends a known key, if [keys are set](super::ApiService::api_key).
    Key,
}

/// The routes, in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct OwnRoutes(Vec<OwnRoute>);

/// One route.
#[derive(Clone)]
pub(crate) struct OwnRoute {
    path: &'static str,
    pub(crate) access: Access,
    answer: Arc<dyn Fn() -> Response<Body> + Send + Sync>,
}

impl OwnRoutes {
    pub(crate) fn add(
        &mut self,
        path: &'static str,
        access: Access,
        answer: impl Fn() -> Response<Body> + Send + Sync + 'static,
    ) {
        self.0.retain(|route| route.path != path);
        self.0.push(OwnRoute { path, access, answer: Arc::new(answer) });
    }

    pub(crate) fn find(&self, path: &str) -> Option<&OwnRoute> {
        let path = if path == "/" { path } else { path.trim_end_matches('/') };
        self.0.iter().find(|route| route.path == path)
    }
}

impl OwnRoute {
    /// The methods that a route accepts, for an `Allow` header.
    pub(crate) const ALLOW: &str = "GET, HEAD";

    pub(crate) fn allows(&self, method: &Method) -> bool {
        matches!(*method, Method::GET | Method::HEAD)
    }

    pub(crate) fn answer(&self) -> Response<Body> {
        let mut response = (self.answer)();
        // The content changes from request to request.
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(header::HeaderValue::from_static("no-store"));
        response
    }
}
