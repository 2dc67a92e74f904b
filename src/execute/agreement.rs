//! Do further samples of the same model come to what its answer comes to?
//!
//! The samples are drawn at once; as soon as those that are still out cannot change which side of the bound the share falls on, they
//! are cancelled. A sample that fails, or says nothing that can be compared, agrees with nobody.

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    answer::Answer,
    deferral::Objection,
    gather::whole,
    legs::{Legs, Place, Reads, sampled},
};
use crate::domain::{Cause, DeferralTest};

/// Returns the objection of a test of agreement to an answer; its first sample is the leg at this position of the plan.
///
/// # Cancel safety
/// Dropping the future cancels the samples.
pub(super) async fn objection(legs: &Legs, test: &DeferralTest, first: u32, answer: &Answer) -> Option<Objection> {
    let DeferralTest::Agreement { leg, samples, temperature, extract, below } = test else { return None };
    let Some(own) = answer.text().and_then(|text| extract.read(text)) else {
        return Some(Objection::of(Cause::NoVote));
    };
    let draw = |number: u32| {
        let place = Place { position: first + number, leg: leg.clone() };
        async move {
            let (job, _) = legs.held(&place.leg, Reads::Text);
            let opened = legs.ask(&place, sampled(&job, *temperature, number as usize + 1)).await.ok()?;
            let sample = whole(opened.reply).await.ok()?;
            sample.text().and_then(|text| extract.read(text))
        }
    };
    let mut running: FuturesUnordered<_> = (0..*samples).map(draw).collect();
    let total = f64::from(*samples + 1);
    let (mut agreeing, mut out) = (1.0, f64::from(*samples));
    loop {
        if agreeing / total >= below.value() {
            return None;
        }
        if (agreeing + out) / total < below.value() {
            return Some(Objection { cause: Cause::Agreement, value: Some(agreeing / total) });
        }
        let said = running.next().await?;
        out -= 1.0;
        agreeing += f64::from(u32::from(said.as_deref() == Some(own.as_str())));
    }
}
