//! `eectl serve`: runs a broker until it is stopped.

mod stop;
#[cfg(unix)]
mod systemd;

use std::net::SocketAddr;

use ee_broker::{BrokerAddress, BrokerBuilder, fetch_status};
use serde_json::{Map, Value, json};

use crate::cli::{Global, Serve};
use crate::error::CliError;
use crate::output::{path_json, print, print_json, print_status, strip_unsafe_chars};
use crate::words::short_scope;
use earthengine::Remedy;
use earthengine::token::internal::display_path;
use stop::StopEvents;

/// Where the broker listens if nothing else is set.
const DEFAULT_PORT: u16 = 8181;

pub(crate) async fn run(global: &Global, serve: &Serve) -> Result<(), CliError> {
    let mut stop = StopEvents::new(serve.exit_with_parent)?;
    if serve.status {
        return tokio::select! {
            status = status(global, serve) => status,
            signal = stop.signal() => Err(CliError::stopped(signal)),
        };
    }
    if let Some(path) = &serve.connect {
        let _forwarder = forward(global, serve, path)?;
        stop.next().await;
        return Ok(());
    }
    let broker = tokio::select! {
        broker = start(serve, global) => broker?,
        signal = stop.signal() => return Err(CliError::stopped(signal)),
    };
    announce(global, serve, &broker)?;
    notify("READY=1");
    stop.next().await;
    notify("STOPPING=1");
    broker.shutdown().await;
    Ok(())
}

async fn start(serve: &Serve, global: &Global) -> Result<ee_broker::Broker, CliError> {
    let mut users = Vec::new();
    for name in &serve.user {
        users.push(user_id(name)?);
    }
    let mut builder = super::exec::broker(global, serve.expires).await?;
    for uid in users {
        builder = builder.allow_user(uid);
    }
    if let Some(path) = &serve.ledger {
        builder = builder.ledger(path);
    }
    builder = listeners(builder, serve)?;
    builder.start().await.map_err(CliError::from)
}

#[cfg(unix)]
fn listeners(mut builder: BrokerBuilder, serve: &Serve) -> Result<BrokerBuilder, CliError> {
    let given =
        systemd::listeners().map_err(|e| CliError::io("cannot use systemd's socket", &e))?;
    let has_socket = serve.unix.is_some() || !given.is_empty();
    for listener in given {
        builder = match listener {
            systemd::Listener::Tcp(listener) => builder.listen_tcp(listener),
            systemd::Listener::Unix(listener) => builder.listen_unix_socket(listener),
        };
    }
    if let Some(path) = &serve.unix {
        builder = builder.listen_unix(path);
    }
    Ok(match serve.listen {
        Some(address) => builder.listen(address),
        None if has_socket => builder,
        None => builder.listen(default_address()),
    })
}

#[cfg(not(unix))]
fn listeners(builder: BrokerBuilder, serve: &Serve) -> Result<BrokerBuilder, CliError> {
    match &serve.unix {
        Some(_) => Err(no_sockets("--unix")),
        None => Ok(builder.listen(serve.listen.unwrap_or_else(default_address))),
    }
}

#[cfg(not(unix))]
fn no_sockets(option: &str) -> CliError {
    unsupported(option, "Use --listen with a loopback address.")
}

#[cfg(not(unix))]
fn unsupported(option: &str, remedy: &'static str) -> CliError {
    let message = format!("{option} is not available on this system");
    CliError::usage_with_remedy(&message, Remedy::new(remedy))
}

fn default_address() -> SocketAddr {
    ([127, 0, 0, 1], DEFAULT_PORT).into()
}

fn announce(global: &Global, serve: &Serve, broker: &ee_broker::Broker) -> Result<(), CliError> {
    let host = broker.metadata_host();
    let variables = variables(host.as_deref(), broker.project());
    if global.json {
        let environment: Map<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let mut json = json!({ "environment": environment });
        if let Some(path) = &serve.unix {
            json["unix"] = path_json(path);
        }
        let addresses = broker.addresses().iter().map(SocketAddr::to_string);
        json["addresses"] = addresses.collect();
        return print_json(&json);
    }
    let mut lines = String::new();
    for address in broker.addresses() {
        lines += &format!("{address}\n");
    }
    if let Some(path) = &serve.unix {
        lines += &format!("{}\n", display_path(path));
    }
    print(lines)?;
    if global.quiet {
        return Ok(());
    }
    let mut text = String::new();
    if host.is_some() {
        text += "To use it, run:\n\n";
        for (name, value) in variables {
            text += &format!("    export {name}={}\n", strip_unsafe_chars(value));
        }
        text += "\n";
    }
    if let Some(project) = broker.project() {
        text += &format!("project       {}\n", strip_unsafe_chars(project));
    }
    text += "Press Ctrl-C to stop.";
    print_status(&text);
    Ok(())
}

/// Returns the variables with which clients find the broker. earthengine-api for Python takes the
/// project only from the quota project.
fn variables<'a>(host: Option<&'a str>, project: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let host = ["GCE_METADATA_HOST", "GCE_METADATA_IP"].map(|name| Some((name, host?)));
    let project =
        ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"].map(|name| Some((name, project?)));
    host.into_iter().chain(project).flatten().collect()
}

#[cfg(unix)]
fn notify(state: &str) {
    systemd::notify(state);
}

#[cfg(not(unix))]
fn notify(_: &str) {}

/// Finds a user in `/etc/passwd`. Users of a directory service are given by number.
fn user_id(name: &str) -> Result<u32, CliError> {
    if let Ok(uid) = name.parse() {
        return Ok(uid);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    found.ok_or_else(|| {
        CliError::usage_with_remedy(
            &format!(
                "{:?} is not a user of this machine",
                strip_unsafe_chars(name)
            ),
            Remedy::new("Use a name in /etc/passwd, or a user ID."),
        )
    })
}

#[cfg(unix)]
fn forward(
    global: &Global,
    serve: &Serve,
    path: &std::path::Path,
) -> Result<ee_broker::Forwarder, CliError> {
    let address = serve.listen.unwrap_or_else(default_address);
    let forwarder = ee_broker::Forwarder::start(address, path)?;
    let address = forwarder.address();
    if global.json {
        let host = address.to_string();
        let environment = json!({"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host});
        print_json(&json!({"addresses": [host], "environment": environment}))?;
    } else {
        print(format!("{address}\n"))?;
    }
    notify("READY=1");
    Ok(forwarder)
}

#[cfg(not(unix))]
fn forward(_: &Global, _: &Serve, _: &std::path::Path) -> Result<(), CliError> {
    Err(no_sockets("--connect"))
}

async fn status(global: &Global, serve: &Serve) -> Result<(), CliError> {
    let variable = std::env::var("GCE_METADATA_HOST").ok();
    let address = match (&serve.unix, serve.listen, variable) {
        (Some(path), _, _) => BrokerAddress::unix(path),
        (None, Some(address), _) => address.into(),
        (None, None, Some(host)) => host.parse()?,
        (None, None, None) => default_address().into(),
    };
    let status = fetch_status(&address).await?;
    match global.json {
        true => print_json(&status),
        false => print(render_status(&status)),
    }
}

fn render_status(status: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => strip_unsafe_chars(text),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    let mut lines = String::new();
    let mut line = |name: &str, value: String| lines += &format!("{name:<14}{value}\n");
    line("process", text(&status["pid"]));
    line("credential", text(&status["credential"]["kind"]));
    if !status["credential"]["principal"].is_null() {
        line("account", text(&status["credential"]["principal"]));
    }
    if !status["project"].is_null() {
        line("project", text(&status["project"]));
    }
    for scope in status["scopes"].as_array().into_iter().flatten() {
        line("scope", text(scope));
    }
    line("started", text(&status["started_at"]));
    if !status["expires_at"].is_null() {
        line("serves until", text(&status["expires_at"]));
    }
    for name in ["tokens", "id_tokens", "failed", "denied", "connections"] {
        line(&name.replace('_', " "), text(&status[name]));
    }
    for entry in status["recent"].as_array().into_iter().flatten() {
        let mut words = vec![text(&entry["time"]), text(&entry["event"])];
        for name in ["command", "pid", "uid", "reason", "audience"] {
            if !entry[name].is_null() {
                words.push(format!("{name} {}", text(&entry[name])));
            }
        }
        for (name, field) in [
            ("requested", "scopes_requested"),
            ("granted", "scopes_granted"),
        ] {
            let scopes = entry[field].as_array().into_iter().flatten();
            let scopes: Vec<_> = scopes
                .map(|scope| short_scope(&text(scope)).to_owned())
                .collect();
            if !scopes.is_empty() {
                words.push(format!("{name} {}", scopes.join(" ")));
            }
        }
        if !entry["expires_at"].is_null() {
            words.push(format!("expires_at {}", text(&entry["expires_at"])));
        }
        line("recent", words.join(", "));
    }
    lines
}
