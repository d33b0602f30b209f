//! Reads OpenTelemetry's variables: where spans go, in which encoding and compression, and the service that they belong to.
//!
//! Others are read by the exporter: `OTEL_EXPORTER_OTLP_HEADERS`, its timeout, `OTEL_TRACES_SAMPLER`, the limits of batches.

use std::env;

use http::Uri;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Compression, Protocol};
use opentelemetry_sdk::Resource;

use crate::flags;

/// The prefix of the name that the conventions give a program that sets none; its executable's name follows.
const UNKNOWN: &str = "unknown_service";

/// Where spans go.
pub(super) struct Destination<'a> {
    /// The flag that sets it.
    pub(super) flag: &'static str,
    /// The flag's value.
    pub(super) named: &'a str,
    /// The collector's URL for traces.
    pub(super) url: String,
}

/// `None` if no collector is named, or traces are off.
pub(super) fn destination(flags: &flags::Traces) -> Result<Option<Destination<'_>>, String> {
    // OpenTelemetry's specification treats an empty variable as unset.
    let [for_traces, for_all] = [&flags.otlp_traces_endpoint, &flags.otlp_endpoint]
        .map(|named| named.as_deref().filter(|named| !named.is_empty()));
    let (flag, named) = match (for_traces, for_all) {
        (Some(named), _) => ("--otlp-traces-endpoint", named),
        (None, Some(named)) => ("--otlp-endpoint", named),
        (None, None) => return Ok(None),
    };
    for (name, off) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        if variable(name).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
            tracing::info!("no traces are exported: {name} is {off}");
            return Ok(None);
        }
    }
    let uri = named.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
    if uri.is_none() {
        return Err(format!(
            "{flag} {named:?} is not of the form http://HOST:4318: name a collector without TLS, such as one on this \
             machine, which can pass spans on with it"
        ));
    }
    let url = match for_traces {
        Some(_) => named.to_owned(),
        None => format!("{}/v1/traces", named.trim_end_matches('/')),
    };
    Ok(Some(Destination { flag, named, url }))
}

/// Protobuf, or JSON if configured. gRPC is not an error, since the variable may be meant for other programs.
pub(super) fn protocol() -> Protocol {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)));
    match named {
        Some((_, value)) if value.eq_ignore_ascii_case("http/json") => Protocol::HttpJson,
        Some((name, value)) if !value.eq_ignore_ascii_case("http/protobuf") => {
            tracing::warn!(
                "{name} is {value:?}, and this server speaks http/protobuf and http/json: traces go as http/protobuf, \
                 which collectors take at port 4318 more often than not"
            );
            Protocol::HttpBinary
        }
        _ => Protocol::HttpBinary,
    }
}

/// gzip, if any is configured: the one compression that each collector must know.
pub(super) fn compression() -> Option<Compression> {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]
        .into_iter()
        .find_map(|name| Some((name, variable(name)?)));
    let (name, value) = named.filter(|(_, value)| !value.eq_ignore_ascii_case("none"))?;
    if !value.eq_ignore_ascii_case("gzip") {
        tracing::warn!("{name} is {value:?}, and this server knows gzip and none: traces go compressed with gzip");
    }
    Some(Compression::Gzip)
}

/// The service that spans belong to: from `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else this program's name.
pub(super) fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let told = Resource::builder().build();
    let name = told.get(&Key::new("service.name")).map(|name| name.to_string());
    let resource = Resource::builder().with_attribute(version);
    match name {
        Some(name) if !name.starts_with(UNKNOWN) => resource.build(),
        _ => resource.with_service_name("claude-max-api").build(),
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
