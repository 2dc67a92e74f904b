//! Readers of one call neither wait for each other nor miss anything, and leave when they like.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::*;
use crate::{
    cache::{CacheKey, NoCache, Provenance},
    domain::{AttemptJournal, TenantId},
    gateway::keep::Slot,
    runtime::{Tasks, TestClock},
    wire::{chat::ChatCall, parse::Limits},
};

type Sender = mpsc::UnboundedSender<Result<Event, BackendError>>;

const KEY: CacheKey = CacheKey([7; 32]);

fn keep() -> Keep {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0}"#;
    let chat = ChatCall::parse(Bytes::from_static(body.as_bytes()), &Limits { messages: 9, choices: 1, depth: 9 });
    Keep::new(Slot {
        chat: Arc::new(chat.unwrap()),
        cache: Arc::new(NoCache),
        provenance: Provenance {
            key: KEY,
            tenant: TenantId::parse("acme").unwrap(),
            policy: None,
            tags: Vec::new(),
            stored: Timestamp::UNIX_EPOCH,
        },
        clock: Arc::new(TestClock::at(Timestamp::UNIX_EPOCH)),
        ttl: Duration::from_secs(1),
        stale: Duration::ZERO,
        is_kept: true,
        entry_bytes: 1 << 20,
        tasks: Tasks::default(),
        journal: AttemptJournal::default(),
        lesson: None,
    })
}

fn calling() -> (Sender, Opening) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let events: EventStream = Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)));
    let model = ModelName::parse("m").unwrap();
    let opened = Opened { model, leg: 0, attempts: 1, reply: Reply::Stream(events) };
    (sender, Box::pin(std::future::ready(Ok(opened))))
}

fn event(number: usize) -> Event {
    let delta = format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{number:04}"}}}}]}}"#);
    Event::read(Bytes::from(delta))
}

fn lead(flights: &Flights, limit_bytes: usize) -> Lead {
    match flights.board(KEY, limit_bytes) {
        Seat::Leader(lead) => lead,
        Seat::Follower(_) => panic!("somebody leads already"),
    }
}

fn follow(flights: &Flights) -> Reader {
    match flights.board(KEY, 1 << 20) {
        Seat::Follower(reader) => reader,
        Seat::Leader(_) => panic!("nobody leads"),
    }
}

async fn next(reader: &mut Reader) -> Option<Result<Event, BackendError>> {
    std::future::poll_fn(|context| reader.poll_event(context)).await
}

fn launched(flights: &Flights, limit_bytes: usize) -> (Sender, Reader) {
    let (sender, opening) = calling();
    let (reader, _) = lead(flights, limit_bytes).launch(opening, keep(), true);
    (sender, reader.unwrap())
}

#[tokio::test]
async fn who_joins_late_reads_from_the_first_event_on() {
    let flights = Flights::default();
    let (sender, mut leader) = launched(&flights, 1 << 20);
    for number in 0..3 {
        sender.send(Ok(event(number))).unwrap();
        next(&mut leader).await.unwrap().unwrap();
    }

    let mut follower = follow(&flights);
    sender.send(Ok(event(3))).unwrap();
    drop(sender);

    for number in 0..4 {
        assert_eq!(next(&mut follower).await.unwrap().unwrap(), event(number));
    }
    assert!(next(&mut follower).await.is_none());
    assert_eq!(next(&mut leader).await.unwrap().unwrap(), event(3));
}

#[tokio::test]
async fn a_stream_is_whole_for_who_wants_it_whole() {
    let flights = Flights::default();
    let (sender, leader) = launched(&flights, 1 << 20);
    let mut follower = follow(&flights);
    (0..2).for_each(|number| sender.send(Ok(event(number))).unwrap());
    drop((sender, leader));

    let whole = follower.whole().await.unwrap();

    let body: serde_json::Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "00000001");
}

#[tokio::test]
async fn a_waiting_follower_drives_the_call_that_its_leader_left() {
    let flights = Flights::default();
    let (sender, leader) = launched(&flights, 1 << 20);
    let mut follower = follow(&flights);

    let (first, ()) = tokio::join!(next(&mut follower), async {
        drop(leader);
        sender.send(Ok(event(0))).unwrap();
    });

    assert_eq!(first.unwrap().unwrap(), event(0));
    assert!(!sender.is_closed());
    drop(follower);
    assert!(sender.is_closed(), "the call goes on without readers");
}

#[tokio::test]
async fn a_leader_that_never_launches_lets_another_lead() {
    let flights = Flights::default();
    let leading = lead(&flights, 1 << 20);
    let follower = follow(&flights);

    let (is_launched, ()) = tokio::join!(follower.is_launched(), async { drop(leading) });

    assert!(!is_launched);
    drop(lead(&flights, 1 << 20));
}

#[tokio::test]
async fn who_fell_behind_reads_on_from_what_is_stored() {
    let flights = Flights::default();
    let limit = 20 * event(0).data.len();
    let (sender, mut fast) = launched(&flights, limit);
    let mut slow = follow(&flights);
    assert_eq!(next_of(&sender, &mut slow, 0).await, event(0));
    next(&mut fast).await.unwrap().unwrap();

    for number in 1..40 {
        assert_eq!(next_of(&sender, &mut fast, number).await, event(number));
    }
    let mut late = follow(&flights);

    for number in 0..40 {
        assert_eq!(next(&mut late).await.unwrap().unwrap(), event(number));
    }
    for number in 1..40 {
        assert_eq!(next(&mut slow).await.unwrap().unwrap(), event(number));
    }
    assert_eq!(next_of(&sender, &mut slow, 40).await, event(40));
}

/// Lets the call say something and reads it.
async fn next_of(sender: &Sender, reader: &mut Reader, number: usize) -> Event {
    sender.send(Ok(event(number))).unwrap();
    next(reader).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_slow_reader_costs_no_more_than_the_limits_and_no_time() {
    let flights = Flights::default();
    let limit = 20 * event(0).data.len();
    let (sender, mut fast) = launched(&flights, limit);
    let mut slow = follow(&flights);

    for number in 0..1_000 {
        assert_eq!(next_of(&sender, &mut fast, number).await, event(number));
        assert!(fast.held_bytes() <= 2 * limit, "{} bytes", fast.held_bytes());
    }

    assert_eq!(next(&mut slow).await.unwrap().unwrap_err().code, Code::Overloaded);
    assert!(matches!(flights.board(KEY, limit), Seat::Leader(_)), "who joins now would miss the beginning");
}

#[tokio::test]
async fn a_flight_that_has_ended_is_not_joined() {
    let flights = Flights::default();
    let (sender, mut leader) = launched(&flights, 1 << 20);
    drop(sender);
    assert!(next(&mut leader).await.is_none());

    drop(lead(&flights, 1 << 20));

    assert_eq!(flights.under_way(), 0, "the table keeps flights that are over");
}

#[tokio::test]
async fn an_error_reaches_every_reader() {
    let flights = Flights::default();
    let (sender, mut leader) = launched(&flights, 1 << 20);
    let mut follower = follow(&flights);
    sender.send(Err(BackendError::new(Code::UpstreamCut, "cut", "cut"))).unwrap();

    for reader in [&mut leader, &mut follower] {
        assert_eq!(next(reader).await.unwrap().unwrap_err().code, Code::UpstreamCut);
    }
}
