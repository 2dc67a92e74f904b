//! How long one tenant's requests take tells nothing of what another one asked.

use pointsman::domain::KeyLimits;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Server, Setup, Upstream, server::lay_out, setup::make_key};

const PAIRS: usize = 500;
/// Chance of failing without a cause. A cache that all tenants share is told apart with a chance far below this.
const CHANCE: f64 = 1e-6;

/// A prompt of its own for each number, all of one length.
fn asked(number: usize) -> Value {
    let prompt = format!("What is the number of the track behind signal box {number:06}?");
    json!({"model": "auto", "messages": [{"role": "user", "content": prompt}], "temperature": 0})
}

/// Returns the probability of two samples differing this much though they are of one distribution: Kolmogorov and Smirnov's test
/// with Stephens' correction (Numerical Recipes, section 14.3).
fn same_distribution(one: &[f64], other: &[f64]) -> f64 {
    let mut all: Vec<(f64, f64)> = one.iter().map(|value| (*value, 1.0 / one.len() as f64)).collect();
    all.extend(other.iter().map(|value| (*value, -1.0 / other.len() as f64)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut largest) = (0.0_f64, 0.0_f64);
    for (at, (value, step)) in all.iter().enumerate() {
        sum += step;
        if all.get(at + 1).is_none_or(|(next, _)| next > value) {
            largest = largest.max(sum.abs());
        }
    }
    let size = ((one.len() * other.len()) as f64 / (one.len() + other.len()) as f64).sqrt();
    let scaled = (size + 0.12 + 0.11 / size) * largest;
    if scaled < 0.2 {
        return 1.0;
    }
    let term =
        |at: i32| f64::from(if at % 2 == 1 { 2 } else { -2 }) * (-2.0 * f64::from(at * at) * scaled * scaled).exp();
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

async fn timed(server: &Server, key: &str, number: usize) -> f64 {
    let begun = Instant::now();
    server.chat(&asked(number)).key(key).send().await.with_status(200).await.json().await;
    begun.elapsed().as_secs_f64()
}

/// Times two requests of `prober` per pair: one that `asker` sent before, and one that nobody did.
async fn samples(server: &Server, asker: &str, prober: &str, first: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let (asked_before, fresh) = (first + 2 * pair, first + 2 * pair + 1);
        timed(server, asker, asked_before).await;
        // In turns, so that whatever else the machine does hits both alike.
        if pair % 2 == 0 {
            known.push(timed(server, prober, asked_before).await);
            unknown.push(timed(server, prober, fresh).await);
        } else {
            unknown.push(timed(server, prober, fresh).await);
            known.push(timed(server, prober, asked_before).await);
        }
    }
    (known, unknown)
}

#[test]
fn the_test_itself_tells_samples_apart_and_only_those() {
    let even: Vec<f64> = (0..500).map(f64::from).collect();
    let near: Vec<f64> = even.iter().map(|value| value + 5.0).collect();
    let far: Vec<f64> = even.iter().map(|value| value + 250.0).collect();

    assert!(same_distribution(&even, &near) > 0.9);
    assert!(same_distribution(&even, &far) < 1e-20);
    assert!(same_distribution(&[1.0; 50], &[1.0; 50]) > 0.99);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_timing_does_not_depend_on_what_another_asked() {
    let upstream = Upstream::start().await;
    let policy = json!({"schema_version": 1, "candidates": ["small"], "strategy": {"fixed": {"model": "small"}},
        "cache": {"semantic": {"across_keys": true}}});
    let setup = Setup::new(&upstream)
        .set("/router", json!({"enabled": true, "engine": "rten", "deadline": "20s"}))
        .set("/keys/required", "always")
        .policy("default", policy.to_string());
    let folder = lay_out(&setup);
    let [acme, rival] = ["acme", "rival"].map(|tenant| make_key(folder.path(), tenant, KeyLimits::default()));
    let server = Server::start_in(folder, &setup).await;
    server.until_ready().await;

    let (known, unknown) = samples(&server, &acme, &rival, 0).await;
    let (own_known, own_unknown) = samples(&server, &rival, &rival, 100_000).await;

    let across = same_distribution(&known, &unknown);
    assert!(across > CHANCE, "another tenant's requests show in the time of this one's: p = {across:e}");
    let within = same_distribution(&own_known, &own_unknown);
    assert!(within < CHANCE, "the test would not notice a shared cache: p = {within:e}");
}
