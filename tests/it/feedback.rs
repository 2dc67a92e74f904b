//! Grades of answers: who may send them, how often they count, and what is kept of them.

use pointsman::domain::KeyLimits;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::harness::{
    Response, Server, Setup, Upstream, chat,
    server::{LEDGER, lay_out},
    setup::make_key,
};

async fn decision(server: &Server) -> String {
    let answer = server.ask(&chat("auto")).await.with_status(200).await;
    let decision = answer.header("x-pointsman-decision-id").to_owned();
    answer.body().await;
    decision
}

async fn grade(server: &Server, body: &Value) -> Response {
    server.request("POST", "/v1/feedback").json(body).send().await
}

/// Returns score, correction and comment of every grade.
fn grades(server: &Server) -> Vec<(f64, Option<String>, Option<String>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(server.folder().join(LEDGER), flags).unwrap();
    let mut statement = connection.prepare("SELECT score, correction, comment FROM feedback").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

async fn refusal(response: Response) -> (u16, Value) {
    (response.status, response.json().await["error"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grade_counts_once_and_a_newer_one_replaces_it() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let decision = decision(&server).await;
    let up = json!({"decision_id": decision, "thumbs": "up"});

    let first = grade(&server, &up).await.with_status(200).await.json().await;
    let again = grade(&server, &up).await.with_status(200).await.json().await;
    let counted = server.metric("pointsman_feedback_ratio_count", &["policy=\"default\"", "model=\"small\""]).await;
    grade(&server, &json!({"decision_id": decision, "score": 0.25})).await.with_status(200).await;

    assert_eq!(
        (&first["object"], &first["decision_id"], &first["score"]),
        (&json!("feedback"), &json!(decision), &json!(1.0))
    );
    assert_eq!(first, again);
    assert_eq!(counted, 1.0);
    assert_eq!(grades(&server), [(0.25, None, None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grade_sent_while_its_answer_still_streams_waits_for_the_record() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    for _ in 0..20 {
        let mut body = chat("auto");
        body["stream"] = json!(true);
        let mut stream = server.ask(&body).await.with_status(200).await;
        let decision = stream.header("x-pointsman-decision-id").to_owned();
        stream.event().await.unwrap();

        let body = json!({"decision_id": decision, "thumbs": "up"});
        let (graded, _) = tokio::join!(grade(&server, &body), stream.events());

        assert_eq!(graded.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_retry_does_not_undo_what_came_after_it() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let decision = decision(&server).await;
    let send = async |once: &str, score: f64| {
        let body = json!({"decision_id": decision, "score": score});
        server.request("POST", "/v1/feedback").header("idempotency-key", once).json(&body).send().await
    };

    let first = send("one", 1.0).await.with_status(200).await.json().await;
    send("two", 0.0).await.with_status(200).await;
    let retried = send("one", 1.0).await.with_status(200).await.json().await;
    let (status, error) = refusal(send("one", 0.5).await).await;

    assert_eq!(first, retried);
    assert_eq!(grades(&server)[0].0, 0.0);
    assert_eq!((status, &error["code"]), (409, &json!("idempotency_key_reused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tenant_that_asked_can_grade() {
    let upstream = Upstream::start().await;
    let setup = Setup::new(&upstream).set("/keys/required", "always");
    let folder = lay_out(&setup);
    let [ours, colleague, stranger] =
        ["acme", "acme", "other"].map(|tenant| make_key(folder.path(), tenant, KeyLimits::default()));
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;
    let answer = server.chat(&chat("auto")).key(&ours).send().await.with_status(200).await;
    let body = json!({"decision_id": answer.header("x-pointsman-decision-id"), "thumbs": "down"});
    let send = async |key: &str| server.request("POST", "/v1/feedback").key(key).json(&body).send().await;

    let (status, error) = refusal(send(&stranger).await).await;

    assert_eq!((status, &error["code"], &error["param"]), (404, &json!("not_found"), &json!("decision_id")));
    assert_eq!(send(&colleague).await.status, 200);
    assert_eq!(send("pm-unknown").await.status, 401);
    assert_eq!(grades(&server).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_grade_of_ours_is_refused_with_its_place() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream)).await;
    let unknown = format!("dec-{}", uuid::Uuid::now_v7().simple());
    let expired = format!("dec-{}", uuid::Uuid::from_u128(0x7000_8000_0000_0000_0000).simple());
    let of = async |body: Value| {
        let (status, error) = refusal(grade(&server, &body).await).await;
        (status, error["param"].as_str().unwrap_or_default().to_owned(), error["message"].to_string())
    };

    let (status, param, _) = of(json!({"decision_id": unknown, "score": 1})).await;
    assert_eq!((status, param.as_str()), (404, "decision_id"));
    let (status, _, message) = of(json!({"decision_id": expired, "score": 1})).await;
    assert_eq!(status, 404);
    assert!(message.contains("older than the 90 days"), "{message}");
    let (status, param, _) = of(json!({"decision_id": "req-1", "score": 1})).await;
    assert_eq!((status, param.as_str()), (400, "decision_id"));
    let (status, param, _) = of(json!({"decision_id": unknown, "score": 7})).await;
    assert_eq!((status, param.as_str()), (400, "score"));
    let long = json!({"decision_id": unknown, "score": 1, "corrected_answer": "x".repeat(200_000)});
    assert_eq!(of(long).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_kept_only_where_recording_is_on() {
    let upstream = Upstream::start().await;
    let [off, on] = [false, true].map(|is_on| Setup::new(&upstream).set("/recording", json!({"enabled": is_on})));
    let body = async |server: &Server| {
        let decision = decision(server).await;
        json!({"decision_id": decision, "score": 1, "corrected_answer": "canary-answer", "comment": "canary-comment"})
    };

    let off = Server::start(off).await;
    let unkept = grade(&off, &body(&off).await).await.json().await;
    let on = Server::start(on).await;
    let kept = grade(&on, &body(&on).await).await.json().await;

    assert_eq!((&unkept["texts_kept"], &kept["texts_kept"]), (&json!(false), &json!(true)));
    assert_eq!(grades(&off), [(1.0, None, None)]);
    assert_eq!(grades(&on), [(1.0, Some("canary-answer".to_owned()), Some("canary-comment".to_owned()))]);
    assert!(![on.log(), off.log()].iter().any(|log| log.contains("canary")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_there_is_nothing_to_grade() {
    let upstream = Upstream::start().await;
    let server = Server::start(Setup::new(&upstream).set("/accounting", json!({"enabled": false}))).await;

    let body = json!({"decision_id": decision(&server).await, "score": 1});
    let (status, error) = refusal(grade(&server, &body).await).await;

    assert_eq!((status, &error["code"]), (400, &json!("unsupported")));
}
