//! The room as a whole: faults as people see them, and the documents that are part of the program.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{document::Document, *};

fn environment(names: &[&str]) -> Environment {
    let fixed = [("POINTSMAN_DATA_DIR".to_owned(), "/data".to_owned())];
    Environment::Fixed(names.iter().map(|name| ((*name).to_owned(), "sk-canary".to_owned())).chain(fixed).collect())
}

fn compile(text: &str) -> Result<Config, Faults> {
    Config::compile(&Source { name: "p.yaml".to_owned(), text: text.to_owned() }, None, &environment(&[]))
}

fn faults(text: &str) -> String {
    compile(text).unwrap_err().to_string()
}

#[test]
fn an_empty_document_is_every_default() {
    let config = compile("# nothing\n").unwrap();

    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert!(!config.keys.required);
    assert_eq!(config.accounting.ledger.unwrap().to_str(), Some("/data/ledger.sqlite"));
}

const FAULTY: &str = "\
servr: {}
server:
  listen: nowhere
  heartbeat: 15
  drain_grace: 5 seconds
  outbound: sharde
models:
  - name: a
    provider: opnai
    context_window: 0
    prices: { input: -1 }
  - name: a
providers:
  openai: { base_url: 'https://x', api_key: sk-canary }
aliases: { fast: b, x: y, y: x }
";

#[test]
fn every_fault_of_shape_and_of_meaning_is_told_at_once() {
    let told = faults(FAULTY);

    insta::assert_snapshot!(told, @r#"
    p.yaml:1:1: servr: unknown key "servr"
      1 | servr: {}
        | ^^^^^
      help: did you mean "server"?

    p.yaml:3:11: server.listen: "nowhere" is not an address
      3 |   listen: nowhere
        |           ^^^^^^^
      help: write an IP address and a port, for instance "127.0.0.1:8080" or "[::1]:8080"

    p.yaml:4:14: server.heartbeat: expected a length of time (ms, s, m, h, d), found a number
      4 |   heartbeat: 15
        |              ^^

    p.yaml:5:16: server.drain_grace: "5 seconds" is not a length of time (ms, s, m, h, d)
      5 |   drain_grace: 5 seconds
        |                ^^^^^^^^^
      help: for instance "30s"

    p.yaml:6:13: server.outbound: unknown value "sharde"
      6 |   outbound: sharde
        |             ^^^^^^
      help: did you mean "shared"?

    p.yaml:9:15: models[0].provider: unknown provider "opnai"
      9 |     provider: opnai
        |               ^^^^^
      help: did you mean "openai"?

    p.yaml:10:21: models[0].context_window: 0 is too small: at least 1
      10 |     context_window: 0
         |                     ^

    p.yaml:11:22: models[0].prices.input: -1 is too small: at least 0
      11 |     prices: { input: -1 }
         |                      ^^

    p.yaml:12:5: models[1]: the model "a" is reached in 0 ways
      12 |   - name: a
         |     ^
      help: give exactly one of "provider", "local", "together", "simulated" and "router"

    p.yaml:12:11: models[1].name: the model "a" is there twice
      12 |   - name: a
         |           ^

    p.yaml:14:45: providers.openai.api_key: a credential must not stand in the file
      14 |   openai: { base_url: 'https://x', api_key: ********* }
         |                                             ^^^^^^^^^
      help: put it into an environment variable and write "${NAME}" here, or "file:/path"

    p.yaml:15:18: aliases.fast: unknown model "b"
      15 | aliases: { fast: b, x: y, y: x }
         |                  ^
      help: known: a

    p.yaml:15:24: aliases.x: aliases lead in a circle: x -> y -> x
      15 | aliases: { fast: b, x: y, y: x }
         |                        ^
    "#);
    assert!(!told.contains("canary"));
}

#[test]
fn text_that_is_no_yaml_is_told_with_its_place() {
    insta::assert_snapshot!(faults("server:\n  listen: [1, 2\nmodels: []\n"), @r#"
    p.yaml:3:7: illegal placement of ':' indicator
      3 | models: []
        |       ^
    "#);
}

#[test]
fn a_missing_key_and_a_key_given_twice_are_told() {
    insta::assert_snapshot!(faults("models:\n  - provider: x\nadmin: { listen: x }\nserver: { listen: y }\n"), @r#"
    p.yaml:2:5: models[0].name: the key "name" is missing
      2 |   - provider: x
        |     ^

    p.yaml:2:15: models[0].provider: unknown provider "x"
      2 |   - provider: x
        |               ^

    p.yaml:3:18: admin.listen: "x" is not an address
      3 | admin: { listen: x }
        |                  ^
      help: write an IP address and a port, for instance "127.0.0.1:8080" or "[::1]:8080"

    p.yaml:4:19: server.listen: "y" is not an address
      4 | server: { listen: y }
        |                   ^
      help: write an IP address and a port, for instance "127.0.0.1:8080" or "[::1]:8080"
    "#);
    insta::assert_snapshot!(faults("cache: {}\ncache: {}\n"), @r#"
    p.yaml:2:1: duplicate mapping key: cache
      2 | cache: {}
        | ^^^^^
    "#);
}

const DANGLING: &str = "\
models:
  - { name: auto, simulated: {} }
  - { name: big, simulated: {}, max_output: 9000 }
  - { name: weights, local: { path: a, catalogue: b } }
  - { name: odd, upstream: even, local: { path: a, file: b } }
aliases: { big: auto, fast: 'auto:chaep' }
catch_all: bgi
default_policy: nothing
accounting: { baseline: none }
telemetry: { log: '=,=' }
resilience: { backoff: 10s, backoff_max: 1s }
admin: { token: '${NOT_SET}' }
";

#[test]
fn references_that_lead_nowhere_are_told() {
    insta::assert_snapshot!(faults(DANGLING), @r#"
    p.yaml:2:13: models[0].name: "auto" already means a policy
      2 |   - { name: auto, simulated: {} }
        |             ^^^^

    p.yaml:3:45: models[1].max_output: the longest answer exceeds context_window
      3 |   - { name: big, simulated: {}, max_output: 9000 }
        |                                             ^^^^

    p.yaml:4:22: models[2].local: it is not clear where the weights come from
      4 |   - { name: weights, local: { path: a, catalogue: b } }
        |                      ^^^^^
      help: give exactly one of "catalogue", "path" and "hugging_face"

    p.yaml:5:28: models[3].upstream: only a provider's model has another name there
      5 |   - { name: odd, upstream: even, local: { path: a, file: b } }
        |                            ^^^^

    p.yaml:5:58: models[3].local.file: "file" needs "hugging_face"
      5 |   - { name: odd, upstream: even, local: { path: a, file: b } }
        |                                                          ^

    p.yaml:6:17: aliases.big: "big" is already the name of a model
      6 | aliases: { big: auto, fast: 'auto:chaep' }
        |                 ^^^^

    p.yaml:6:29: aliases.fast: unknown policy "chaep"
      6 | aliases: { big: auto, fast: 'auto:chaep' }
        |                             ^^^^^^^^^^^^
      help: did you mean "cheap"?

    p.yaml:7:12: catch_all: unknown model "bgi"
      7 | catch_all: bgi
        |            ^^^
      help: known: auto, big, odd, weights

    p.yaml:8:17: default_policy: unknown policy "nothing"
      8 | default_policy: nothing
        |                 ^^^^^^^
      help: known: ab, avengers, balanced, best, budget, capable, careful, cascade, cascade-routing, cheap, default, easy-first, ensemble, experts, guarded, learning, local, neighbours, reviewed, rules, share, steady

    p.yaml:9:25: accounting.baseline: unknown model "none"
      9 | accounting: { baseline: none }
        |                         ^^^^
      help: known: auto, big, odd, weights

    p.yaml:10:19: telemetry.log: not a log filter: invalid filter directive
      10 | telemetry: { log: '=,=' }
         |                   ^^^^^

    p.yaml:11:24: resilience.backoff: the first pause is longer than resilience.backoff_max
      11 | resilience: { backoff: 10s, backoff_max: 1s }
         |                        ^^^

    p.yaml:12:17: admin.token: the environment variable NOT_SET is not set
      12 | admin: { token: '${NOT_SET}' }
         |                 ^^^^^^^^^^^^
      help: set it, or write "${NAME:-default}"
    "#);
}

#[test]
fn a_server_that_others_can_reach_needs_keys_and_a_token() {
    insta::assert_snapshot!(faults(
        "server: { listen: '0.0.0.0:80' }\nkeys: { required: never }\nadmin: { listen: '0.0.0.0:81' }\n"
    ), @r#"
    p.yaml:2:19: keys.required: a server that other machines can reach needs keys
      2 | keys: { required: never }
        |                   ^^^^^
      help: remove keys.required, or listen on 127.0.0.1

    p.yaml:3:18: admin.listen: the admin API off loopback needs a token
      3 | admin: { listen: '0.0.0.0:81' }
        |                  ^^^^^^^^^^^^
      help: set admin.token to "${POINTSMAN_ADMIN_TOKEN}", or listen on 127.0.0.1
    "#);

    let config = compile("server: { listen: '0.0.0.0:80' }").unwrap();
    assert!(config.keys.required);
    assert!(config.check_exposure(true).is_ok());
    assert_eq!(config.check_exposure(false).unwrap_err().listen.port(), 80);
}

#[test]
fn a_provider_without_its_variable_puts_its_models_to_sleep() {
    let text = "\
providers: { far: { base_url: 'https://x/v1/', api_key: '${FAR_KEY}' } }
models: [{ name: m, provider: far, upstream: n }]
";
    let source = Source { name: "p.yaml".to_owned(), text: text.to_owned() };

    let asleep = Config::compile(&source, None, &environment(&[])).unwrap();
    let awake = Config::compile(&source, None, &environment(&["FAR_KEY"])).unwrap();

    assert_eq!(asleep.asleep.iter().map(|(_, variable)| variable.as_str()).collect::<Vec<_>>(), ["FAR_KEY"]);
    assert!(asleep.models.is_empty());
    let ModelSource::OpenAi(remote) = &awake.models[0].source else { panic!("not a remote model") };
    assert_eq!((remote.base_url.as_str(), &*remote.upstream_model), ("https://x/v1", "n"));
    assert!(!format!("{awake:?}").contains("canary"));
}

#[test]
fn embedded_configurations_have_no_fault() {
    let keys = ["OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "GROQ", "DEEPSEEK", "OPENROUTER"];
    let names: Vec<String> = keys.iter().map(|key| format!("{key}_API_KEY")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();

    let bare = Config::embedded(Embedded::Default, &environment(&[])).unwrap();
    let full = Config::embedded(Embedded::Default, &environment(&names)).unwrap();
    let demo = Config::embedded(Embedded::Demo, &environment(&[])).unwrap();

    let alive: Vec<&str> = bare.models.iter().map(|model| model.facts.name.as_str()).collect();
    assert_eq!(alive, ["smollm2-135m-instruct", "pointsman-router"]);
    let variables: BTreeSet<&str> = bare.asleep.iter().map(|(_, variable)| variable.as_str()).collect();
    assert_eq!(variables, names.iter().copied().collect());
    assert!(full.asleep.is_empty() && full.models.len() == bare.models.len() + bare.asleep.len());
    assert_eq!(demo.models.iter().filter(|model| model.facts.is_simulated).count(), 3);
}

fn full() -> Json {
    let text = embedded::text("pointsman.full.yaml").unwrap();
    compile(&text).unwrap();
    yaml::parse(&text).unwrap().to_json()
}

/// Returns the same members in the same way, and nothing else.
fn bare_together(together: &document::TogetherDocument) -> document::TogetherDocument {
    let mut json = serde_json::to_value(together).unwrap();
    for way in json.as_object_mut().unwrap().values_mut().filter_map(Json::as_object_mut) {
        way.retain(|_, value| value.is_string());
    }
    serde_json::from_value(json).unwrap()
}

#[test]
fn the_full_document_states_every_default() {
    let mut stated: Document = serde_json::from_value(full()).unwrap();

    for model in std::mem::take(&mut stated.models) {
        let own = serde_json::json!({ "name": model.name, "provider": model.provider, "router": model.router });
        let mut bare: document::ModelDocument = serde_json::from_value(own).unwrap();
        bare.local = model.local.as_ref().map(|local| document::LocalDocument {
            catalogue: local.catalogue.clone(),
            speculate: local.speculate.as_ref().map(|_| document::SpeculateDocument::default()),
            ..document::LocalDocument::default()
        });
        bare.together = model.together.as_ref().map(bare_together);
        bare.simulated = model.simulated.as_ref().map(|_| document::SimulatedDocument::default());
        assert_eq!(model, bare);
    }
    stated.providers.clear();
    stated.aliases.clear();
    assert_eq!(stated, Document::default());
}

#[test]
fn the_full_document_holds_every_key_with_a_comment() {
    let text = embedded::text("pointsman.full.yaml").unwrap();
    let schema = config_schema();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);

    for properties in definitions.filter_map(|definition| definition["properties"].as_object()) {
        for key in properties.keys() {
            let stated =
                text.lines().any(|line| line.trim_start().trim_start_matches("- ").starts_with(&format!("{key}:")));
            assert!(stated, "pointsman.full.yaml does not hold the key {key}");
        }
    }
}

#[test]
fn the_published_schema_is_the_programs_own() {
    published("config/pointsman.schema.json", &config_schema());
}

/// Compares a published schema with the program's; `UPDATE_SCHEMAS=1` writes it.
pub(crate) fn published(file: &str, schema: &Json) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = format!("{}\n", serde_json::to_string_pretty(schema).unwrap());
    if Environment::System.get("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }

    let stated = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(stated == text, "{file} is out of date: run the tests once with UPDATE_SCHEMAS=1");
}

proptest::proptest! {
    #[test]
    fn any_text_compiles_or_is_refused_without_a_panic(text in "(?s).{0,200}") {
        drop(compile(&text));
    }

    #[test]
    fn any_change_of_one_character_compiles_or_is_refused(at in 0usize..4000, with in "[ -~\n]") {
        let mut text = embedded::text("demo.yaml").unwrap();
        let at = at % text.len();
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..=at, &with);
        }
        drop(compile(&text));
    }
}
