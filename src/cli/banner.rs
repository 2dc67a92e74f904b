//! What the program says at start: where it is, how to ask it, what it has.

use std::{io::Write, net::SocketAddr};

use pointsman::{
    app::{App, Started},
    domain::Availability,
};

/// Prints the banner to standard output.
pub(crate) fn print(app: &App, started: Started) {
    if let Err(error) = write(&mut std::io::stdout().lock(), app, started) {
        tracing::debug!(%error, "nobody reads what is said at start");
    }
}

fn write(out: &mut impl Write, app: &App, started: Started) -> std::io::Result<()> {
    writeln!(out, "listening on http://{}", started.public)?;
    writeln!(out, "admin on http://{}", started.admin)?;
    writeln!(out, "\n{}", usage(started.public))?;
    writeln!(out, "models")?;
    for line in models(app) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "\n{}", facts(app))?;
    if app.is_open() {
        writeln!(
            out,
            "open: no API key is needed; only this machine can reach it. `pointsman keys create` makes a key."
        )?;
    }
    Ok(())
}

fn usage(address: SocketAddr) -> String {
    format!(
        r#"ask it
  curl http://{address}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model": "auto", "temperature": 0, "messages": [{{"role": "system", "content": "You are a helpful assistant."}},
         {{"role": "user", "content": "What is the capital of France?"}}]}}'

  from openai import OpenAI
  client = OpenAI(base_url="http://{address}/v1", api_key="unused")
  answer = client.chat.completions.create(model="auto", messages=[{{"role": "user", "content": "Hello!"}}])
"#
    )
}

fn models(app: &App) -> Vec<String> {
    let names = app.models().map(|(name, _)| name.len()).chain(app.asleep().map(|(name, _)| name.len()));
    let width = names.max().unwrap_or(0);
    let awake = app.models().map(|(name, availability)| format!("{name:width$}  {}", state(&availability)));
    let asleep = app.asleep().map(|(name, variable)| format!("{name:width$}  asleep: set {variable}"));
    awake.chain(asleep).collect()
}

fn state(availability: &Availability) -> String {
    match availability {
        Availability::Ready => "ready".to_owned(),
        Availability::Loading { step, progress } => format!("{}, {:.0} %", step.words(), progress.value() * 100.0),
        Availability::BreakerOpen => "failing".to_owned(),
        Availability::Failed { reason } => format!("failed: {reason}"),
    }
}

fn facts(app: &App) -> String {
    let lines = [("router", app.router()), ("policy", app.policy()), ("config", app.source())];
    lines.map(|(name, value)| format!("{name}  {value}")).join("\n")
}
