//! Keeps web pages away from a server that has no password: checks `Host` and `Origin`, and sends CORS headers to the pages
//! that are let in.
//!
//! A page of any site can send requests to `http://localhost:3456` from its visitor's browser, and one whose host name
//! is rebound to 127.0.0.1 can read the answers too. A browser says where a page is from (`Origin`) and which host it
//! means to talk to (`Host`); programs that are not browsers send no `Origin` and are not affected.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::response::error_response;
use crate::error::shortened;
use crate::{Error, ErrorKind};

/// Refuses, with 403, requests from pages and for host names that are not allowed.
///
/// - A `Host` passes if it is loopback (`localhost`, `*.localhost`), an IP address, or allowed by name.
/// - An `Origin` passes if it is the request's own host, or allowed. Pages of allowed origins get CORS headers, and
///   their preflight requests are answered here. An `https` origin is the request's own if the request came over TLS,
///   which a proxy reports by `X-Forwarded-Proto: https`.
/// - A request that a browser marks as another site's (`Sec-Fetch-Site: cross-site`) and that has no `Origin`, such as
///   that for an image, is refused, unless a person followed a link or every origin is allowed.
/// - Two `Host` or two `Origin` headers are a 400: a proxy might check the one and this server the other.
///
/// It guards any HTTP service whose response body can be made from [`Bytes`], including axum's:
/// `Router::new().layer(GuardLayer::new())` guards an application's own pages as well.
///
/// ```
/// use tower::{Layer, ServiceExt};
/// use tower_claude::http::{Body, GuardLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let inner = tower::service_fn(|_: http::Request<()>| async {
///     Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
/// });
/// let guard = GuardLayer::new().allow_hosts(["claude.lan"]).allow_origins(["https://chat.example"]).layer(inner);
///
/// let rebound = http::Request::get("/health").header("host", "evil.example").body(())?;
/// assert_eq!(guard.clone().oneshot(rebound).await?.status(), 403);
///
/// let named = http::Request::get("/health").header("host", "claude.lan:3456").body(())?;
/// assert_eq!(guard.oneshot(named).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct GuardLayer {
    allowed: Arc<Allowed>,
}

#[derive(Clone, Debug, Default)]
struct Allowed {
    hosts: Vec<String>,
    origins: Vec<String>,
    host_required: bool,
}

impl GuardLayer {
    /// Lets in local hosts and pages, and nothing else.
    pub fn new() -> Self {
        GuardLayer::default()
    }

    /// Host names to answer to in addition to the local ones, without a port: `claude.lan`.
    #[must_use]
    pub fn allow_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let hosts = hosts.into_iter().map(|host| host.into().trim_end_matches('.').to_ascii_lowercase());
        Arc::make_mut(&mut self.allowed).hosts.extend(hosts);
        self
    }

    /// Origins whose pages may use this server, as a browser writes them: `https://chat.example`,
    /// `http://localhost:5173`. `*` allows every page.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let origins = origins.into_iter().map(|origin| origin.into().trim_end_matches('/').to_ascii_lowercase());
        Arc::make_mut(&mut self.allowed).origins.extend(origins);
        self
    }

    /// Refuses HTTP/1.1 requests without a `Host` with 400, as the standard requires of a server. Off unless set: requests
    /// that tests make by hand seldom have one, and those of browsers always do.
    #[must_use]
    pub fn require_host(mut self) -> Self {
        Arc::make_mut(&mut self.allowed).host_required = true;
        self
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, allowed: Arc::clone(&self.allowed) }
    }
}

/// The service that [`GuardLayer`] makes.
#[derive(Clone, Debug)]
pub struct Guard<S> {
    inner: S,
    allowed: Arc<Allowed>,
}

impl<S> Guard<S> {
    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Unwraps the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Guard<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<Bytes> + Default,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let answer = |response| GuardFuture { state: State::Answered { response: Some(response) } };
        match self.allowed.check(&request) {
            Err(error) => answer(error_response(&error)),
            Ok(Some(origin)) if request.method() == Method::OPTIONS => answer(preflight(request.headers(), origin)),
            Ok(origin) => GuardFuture { state: State::Passed { future: self.inner.call(request), origin } },
        }
    }
}

impl Allowed {
    /// The origin that needs CORS headers, if the request may pass and has one.
    fn check<B>(&self, request: &Request<B>) -> Result<Option<HeaderValue>, Error> {
        let (uri, headers) = (request.uri(), request.headers());
        // HTTP/2 has the host in its URI. If there is a `Host` as well, both must pass.
        let named = only(headers, header::HOST)?;
        let named = named.map(|value| (value.as_bytes(), Authority::try_from(value.as_bytes()).ok()));
        if let Some((text, authority)) = &named {
            self.check_host(authority.as_ref(), &String::from_utf8_lossy(text))?;
        } else if self.host_required && request.version() == Version::HTTP_11 {
            return Err(Error::invalid_request(
                "The request has no `Host` header, which HTTP/1.1 requires. Send the host that it is for.",
            ));
        }
        if let Some(authority) = uri.authority() {
            self.check_host(Some(authority), authority.as_str())?;
        }
        let Some(origin) = only(headers, header::ORIGIN)? else { return self.check_site(headers).map(|()| None) };
        let host = uri.authority().or(named.as_ref().and_then(|(_, authority)| authority.as_ref()));
        let over_tls = uri.scheme() == Some(&Scheme::HTTPS)
            || headers.get("x-forwarded-proto").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"));
        if host.is_some_and(|host| is_own_origin(origin, host, over_tls)) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        if self.origins.iter().any(|allowed| allowed == "*" || *allowed == text) {
            return Ok(Some(origin.clone()));
        }
        let text = shortened(&text);
        Err(Error::new(
            ErrorKind::Forbidden,
            format!("Pages of `{text}` may not use this server. Its operator can add that to the allowed origins."),
        ))
    }

    /// Refuses cross-site requests that carry no `Origin`, such as one for an image.
    fn check_site(&self, headers: &HeaderMap) -> Result<(), Error> {
        let says = |name: &str, value: &[u8]| headers.get(name).is_some_and(|sent| sent.as_bytes() == value);
        if !says("sec-fetch-site", b"cross-site")
            || says("sec-fetch-mode", b"navigate")
            || self.origins.iter().any(|allowed| allowed == "*")
        {
            return Ok(());
        }
        let message = "Pages of other sites may not use this server. Its operator can add them to the allowed origins.";
        Err(Error::new(ErrorKind::Forbidden, message))
    }

    fn check_host(&self, authority: Option<&Authority>, text: &str) -> Result<(), Error> {
        let host = authority.filter(|authority| !authority.as_str().contains('@')).map(Authority::host);
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        let passes = host.is_some_and(|host| {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
            host == "localhost"
                || host.ends_with(".localhost")
                || bare.parse::<IpAddr>().is_ok()
                || self.hosts.contains(&host)
        });
        if passes {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "`{}` is not a host name that this server answers to. Address it as localhost or by its IP \
                 address, or have its operator add the name to the allowed hosts.",
                shortened(text)
            ),
        ))
    }
}

/// The value of a header that may occur only once.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&HeaderValue>, Error> {
    let mut values = headers.get_all(&name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Error::invalid_request(format!("The request has two `{name}` headers. Send one."))),
    }
}

/// Whether a page is this server's own: the same scheme, host and port.
fn is_own_origin(origin: &HeaderValue, host: &Authority, over_tls: bool) -> bool {
    let Ok(origin) = Uri::try_from(origin.as_bytes()) else { return false };
    let (Some(scheme), Some(page)) = (origin.scheme(), origin.authority()) else { return false };
    if (*scheme == Scheme::HTTPS) != over_tls {
        return false;
    }
    let usual = if over_tls { 443 } else { 80 };
    page.host().eq_ignore_ascii_case(host.host())
        && page.port_u16().unwrap_or(usual) == host.port_u16().unwrap_or(usual)
}

/// Tells a browser that the page it asks for may send its request.
fn preflight<ResBody: Default>(asked: &HeaderMap, origin: HeaderValue) -> Response<ResBody> {
    let mut response = Response::new(ResBody::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    // OpenAI's client sends a dozen headers of its own; an allowed page may send what it likes.
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.contains_key("access-control-request-private-network") {
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    share(headers, origin);
    response
}

/// Lets a page read the answer.
fn share(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

pin_project! {
    /// The future of [`Guard`].
    #[derive(Debug)]
    pub struct GuardFuture<F, ResBody> {
        #[pin]
        state: State<F, ResBody>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<F, ResBody> {
        Answered { response: Option<Response<ResBody>> },
        Passed { #[pin] future: F, origin: Option<HeaderValue> },
    }
}

impl<F, E, ResBody> Future for GuardFuture<F, ResBody>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: Default,
{
    type Output = Result<Response<ResBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Answered { response } => Poll::Ready(Ok(response.take().unwrap_or_default())),
            StateProj::Passed { future, origin } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(origin) = origin.take() {
                    share(response.headers_mut(), origin);
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}
