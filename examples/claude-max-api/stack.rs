//! The layers and services that the flags ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tower::Layer;
use tower_claude::chat::Model;
use tower_claude::cli::ClaudeCli;
use tower_claude::http::{ApiService, GuardLayer, HttpStack, MetricsLayer, ObserveLayer, Observed, RequestReport};
use tower_claude::layers::{self, ModelAliasLayer, OpenClaw};

use crate::check::{Agent, Checked};
use crate::flags::{API_KEY, Flags, Overage, UnknownModel};
use crate::status::{self, Metrics, Reporter, Traffic};
use crate::store::SqliteStore;
use crate::supervisor;

/// The first argument by which this program is told to be the stand-in.
pub(crate) const STAND_IN: &str = "stand-in";

/// The inner service: Claude Code, or in a demonstration this program itself.
pub(crate) fn claude(flags: &Flags, checked: &Checked) -> ClaudeCli {
    let claude = ClaudeCli::builder()
        .warm_processes(flags.warm)
        .max_processes(flags.max_processes.get())
        .idle_timeout(flags.idle_timeout)
        .queue_limit(flags.queue_limit)
        .queue_timeout(flags.queue_timeout)
        .tool_timeout(flags.tool_timeout)
        .first_token_timeout(flags.first_token_timeout)
        .request_timeout(flags.request_timeout)
        // The sockets watch for clients that do not read, and know better: a slow reader takes minutes over a large event.
        .unread_timeout(flags.request_timeout)
        .upstream_retries(flags.upstream_retries)
        .refuse_overage(flags.overage == Overage::Refuse)
        // Otherwise Claude Code's own tools could read it.
        .env_remove(API_KEY);
    let claude = supervisor::VARIABLES.into_iter().fold(claude, |claude, name| claude.env_remove(name));
    let claude = if flags.demo {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("claude-max-api"));
        claude.program(program).args([STAND_IN])
    } else {
        claude.program(&flags.claude_bin)
    };
    match &checked.agent {
        Some(Agent { workspace, builtin_tools }) => {
            claude.workspace(workspace).builtin_tools(builtin_tools).audit_commands(flags.audit_commands).build()
        }
        None => claude.build(),
    }
}

/// Everything from an HTTP request to the inner service, and what observes it.
pub(crate) type Stack = Observed<Observed<Observed<HttpStack<OpenClaw<ClaudeCli>>>>>;

/// Makes it. `draining` is set when no more requests should be sent here; no stream of the status goes on then.
pub(crate) fn stack(
    flags: &Flags,
    checked: &Checked,
    claude: ClaudeCli,
    store: Option<SqliteStore>,
    metrics: Metrics,
    draining: Arc<AtomicBool>,
) -> Stack {
    let models = ModelAliasLayer::claude().unknown(match flags.unknown_model {
        UnknownModel::Opus => layers::UnknownModel::Use("opus".to_owned()),
        UnknownModel::Reject => layers::UnknownModel::Reject,
    });
    let offered: Vec<Model> = models.ids().map(ClaudeCli::model).collect();
    let mut preset = layers::OpenClawLayer::new().models(models);
    if let Some(agent) = &checked.agent {
        preset = preset.agent(&agent.builtin_tools).show_tools(flags.show_tools);
    }
    let (health, asked) = (claude.clone(), claude.clone());
    let drains = Arc::clone(&draining);
    let ready = move || match asked.ready() {
        _ if drains.load(Ordering::Relaxed) => Err("draining".to_owned()),
        ready => ready.map_err(|reason| reason.to_string()),
    };
    let mut api = ApiService::new(preset.layer(claude.clone()))
        .abilities(ClaudeCli::abilities_with(checked.agent.iter().flat_map(|agent| &agent.builtin_tools)))
        .models(offered)
        .health(move || health.health())
        .ready(ready)
        .body_limit(usize::from(flags.body_limit.get()) * 1024 * 1024)
        .body_memory(usize::from(flags.body_memory) * 1024 * 1024);
    if let Some(store) = store {
        api = api.store_responses(store);
    }
    for key in &checked.keys.unnamed {
        api = api.api_key(key);
    }
    // An empty list would let nobody in.
    if !checked.keys.named.is_empty() {
        api = api.api_keys(checked.keys.named.clone());
    }
    let guard = GuardLayer::new().require_host().allow_hosts(&flags.allow_host).allow_origins(&flags.allow_origin);
    let traffic = Arc::new(Traffic::default());
    let reporter = Reporter::new(claude.clone(), Arc::clone(&traffic), checked.agent.is_some(), flags);
    let api = status::routes(api, Arc::new(reporter), metrics, claude, draining);
    let traffic = ObserveLayer::new(move |report: &RequestReport| traffic.finished(report));
    let observers = (MetricsLayer::new(), traffic, ObserveLayer::access_log());
    observers.layer(HttpStack::new(api, guard))
}
