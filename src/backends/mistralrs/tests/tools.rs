//! Tools that the tiny model must call, may call, or is not shown.

use super::*;

/// One tiny model with room for tools, which take hundreds of tokens where most tokens are bytes.
static TOOLED: LazyLock<Arc<Local>> = LazyLock::new(|| start(WeightSource::Path(TOOLED_DIR.path().to_owned()), 64));

static TOOLED_DIR: LazyLock<tempfile::TempDir> = LazyLock::new(|| roomy_dir(None));

fn roomy_dir(template: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    set(&dir.path().join("config.json"), "max_position_embeddings", json!(8 * WINDOW));
    if let Some(template) = template {
        set(&dir.path().join("tokenizer_config.json"), "chat_template", template.into());
    }
    dir
}

fn set(path: &std::path::Path, key: &str, value: Value) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    document[key] = value;
    std::fs::write(path, document.to_string()).unwrap();
}

fn with_tools(choice: Value, more: Value) -> Value {
    let parameters = |property: &str| {
        json!({ "type": "object", "properties": { property: { "$ref": "#/$defs/flag" } }, "required": [property],
            "additionalProperties": false, "$defs": { "flag": { "type": "boolean" } } })
    };
    let tool = |name: &str, property: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters(property) } });
    let tools = json!([tool("lamp", "on"), tool("door", "open")]);
    let mut body =
        json!({ "tools": tools, "tool_choice": choice, "max_tokens": 600, "parallel_tool_calls": false, "seed": 2 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_named_tool_is_called_with_arguments_that_fit() {
    let choice = json!({ "type": "function", "function": { "name": "door" } });

    let answer = answer(&TOOLED, with_tools(choice, json!({}))).await;

    let (message, finish) = (&answer["choices"][0]["message"], &answer["choices"][0]["finish_reason"]);
    let function = &message["tool_calls"][0]["function"];
    let arguments: Value = serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
    assert_eq!((&message["content"], finish), (&Value::Null, &json!("tool_calls")));
    assert_eq!((message["tool_calls"].as_array().unwrap().len(), &function["name"]), (1, &json!("door")));
    assert!(arguments["open"].is_boolean() && arguments.as_object().unwrap().len() == 1, "{arguments}");
    assert!(message["tool_calls"][0]["id"].as_str().unwrap().starts_with("call_"));
}

#[tokio::test]
async fn a_required_tool_is_one_of_them_and_a_stream_says_the_same() {
    let body = || with_tools(json!("required"), json!({ "stream": true, "n": 2 }));
    let whole = answer(&TOOLED, body()).await;

    let events: Vec<_> = stream(&TOOLED, body()).await.map(Result::unwrap).collect().await;

    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect();
    for index in 0..2 {
        let deltas = chunks.iter().filter(|chunk| chunk["choices"][0]["index"] == index);
        let calls: Vec<&Value> = deltas.filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
        let told = &whole["choices"][index]["message"]["tool_calls"][0];
        assert_eq!((calls.len(), &calls[0]["index"]), (1, &json!(0)));
        assert_eq!(calls[0]["function"], told["function"]);
        assert!(["lamp", "door"].contains(&told["function"]["name"].as_str().unwrap()));
    }
    assert_eq!(events.iter().filter(|event| event.finish_reason.as_deref() == Some("tool_calls")).count(), 2);
    assert_eq!(events.iter().filter(|event| event.has_content).count(), 2);
}

#[tokio::test]
async fn tools_that_may_be_called_are_part_of_the_prompt_and_those_that_may_not_are_not() {
    let tokens = async |choice: &str, more: Value| {
        let whole = ask(&TOOLED, with_tools(json!(choice), more)).await.unwrap();
        (whole.usage.unwrap().input.0, whole.finish_reason.unwrap())
    };
    let history = json!({ "max_tokens": 3, "tools": null, "tool_choice": null, "messages": [{ "role": "user", "content": "a" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "lamp", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": "c1", "content": "b" }] });
    let plain = ask(&TOOLED, json!({ "max_tokens": 3 })).await.unwrap().usage.unwrap().input.0;

    assert!(tokens("auto", json!({ "max_tokens": 3 })).await.0 > plain + 100);
    assert_eq!(tokens("none", json!({ "max_tokens": 3 })).await, (plain, "length".to_owned()));
    assert!(tokens("auto", history).await.0 > plain);
}

#[tokio::test]
async fn a_template_that_knows_tools_shows_them_itself() {
    let template = "{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}<|im_start|>\
        {{ message['role'] }}{{ message['content'] }}{% for call in message['tool_calls'] %}<tool_call>{{ call['function']['name'] }}\
        {% endfor %}{% endfor %}<|im_start|>assistant\n";
    let dir = roomy_dir(Some(template));
    let local = start(WeightSource::Path(dir.path().to_owned()), 4);

    let own = ask(&local, with_tools(json!("required"), json!({}))).await.unwrap();
    let ours = ask(&TOOLED, with_tools(json!("required"), json!({}))).await.unwrap();

    assert_eq!(own.finish_reason.as_deref(), Some("tool_calls"));
    // It has no instructions, which are some hundred tokens.
    assert!(own.usage.unwrap().input.0 + 100 < ours.usage.unwrap().input.0);
}

#[tokio::test]
async fn tools_that_are_none_are_refused_by_name() {
    let refusal = async |more: Value| {
        let error = ask(&TOOLED, with_tools(json!("auto"), more)).await.unwrap_err();
        (error.code, error.param.unwrap())
    };

    let search = json!({ "tools": [{ "type": "web_search" }] });
    assert_eq!(refusal(search).await, (Code::InvalidRequest, "tools[0].type".to_owned()));
    assert_eq!(refusal(json!({ "tool_choice": "often" })).await, (Code::InvalidRequest, "tool_choice".to_owned()));
    let nonsense = json!({ "type": "function", "function": { "name": "f", "parameters": { "type": "nonsense" } } });
    let required = json!({ "tools": [nonsense], "tool_choice": "required" });
    assert_eq!(refusal(required).await, (Code::UpstreamRejected, "tools".to_owned()));
}
