//! Fits the whole model: committee, what answers weigh, and what asking on is worth.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: models are numbered by the set")]

use rayon::prelude::*;

use super::{
    answers::Row,
    ballots::Ballot,
    committee::{choose, rates},
    priors::Priors,
    values::Values,
    votes,
};
use crate::routing::agreement::{
    AgreementDocument, AgreementModel, InvalidAgreement, MemberDocument, MemberSet, SCHEMA_VERSION, VoteWeights,
};

/// How many members a committee has. Measured: a sixth adds nothing on MMLU-Pro and ZeroEval, and doubles the tables.
pub const MEMBERS: usize = 5;

/// A fitted model with the numbers of its members among the models of the set.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// What is written to a file.
    pub document: AgreementDocument,
    /// Ready for use.
    pub model: AgreementModel,
    /// Models of the set, in the order of the members.
    pub committee: Vec<usize>,
    /// What is expected of every model of the set.
    pub priors: Priors,
}

/// Fits a model to rows of a set with models of these names.
///
/// # Errors
/// What was fitted cannot be used, as where a name is not one.
pub fn fit(names: &[String], rows: &[&Row], fitted_on: &str) -> Result<Fitted, InvalidAgreement> {
    let committee = choose(rows, MEMBERS);
    let priors = Priors::of(rows);
    let ballots = Ballot::of_counted(rows, &priors, &committee);
    let sets = MemberSet::all(committee.len(), committee.len());
    let votes: Vec<_> = sets.par_iter().map(|set| votes::fit(*set, &ballots)).collect();
    let weights = sets.into_iter().zip(votes.iter().map(VoteWeights::from)).collect::<Vec<_>>();
    let rates = rates(rows);
    let values =
        Values { ballots: &ballots, members: committee.len(), most: committee.len(), rates: &rates, votes: &weights };
    let (first, further) = values.fit();
    let (costs, qualities) = priors.means();
    let member = |model: &usize| MemberDocument {
        model: names[*model].clone(),
        mean_cost: costs[*model],
        mean_quality: qualities[*model].clamp(0.0, 1.0),
    };
    let document = AgreementDocument {
        schema_version: SCHEMA_VERSION,
        fitted_on: fitted_on.to_owned(),
        members: committee.iter().map(member).collect(),
        most: committee.len(),
        rates,
        votes,
        first,
        further,
    };
    Ok(Fitted { model: document.compile(|_| true)?, document, committee, priors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        learning::plans::{contest::agree::run, trial::tests::made_up},
        routing::agreement::{Charges, Heard, Step},
    };

    fn fitted(prompts: usize) -> (Fitted, Vec<Row>) {
        let set = made_up(prompts);
        let fitted = fit(&set.models, &set.rows.iter().collect::<Vec<_>>(), "made up").unwrap();
        (fitted, set.rows)
    }

    fn play(fitted: &Fitted, rows: &[Row], rate: f64) -> (f64, f64) {
        let of = |row: &Row| run(fitted, &Ballot::of(row, &fitted.priors.expect(row), &fitted.committee), rate);
        let sum = rows.iter().map(of).fold((0.0, 0.0), |sum, one| (sum.0 + f64::from(one.0), sum.1 + f64::from(one.1)));
        (sum.0 / rows.len() as f64, sum.1 / rows.len() as f64)
    }

    #[test]
    fn the_dear_model_is_asked_where_cheap_ones_differ_and_an_echo_is_no_reason_to_believe() {
        let (fitted, rows) = fitted(600);

        // Two cheap calls always, the dear one for a third of the prompts.
        let (cost, quality) = play(&fitted, &rows, 0.3);

        assert_eq!(fitted.document.members[0].model, "dear");
        assert!(quality > 0.999 && (0.33..0.37).contains(&cost), "{cost} {quality}");
        // An echo that is asked after the first tells nothing new; what the first cheap one says is as good as before.
        let member = |name: &str| fitted.document.members.iter().position(|member| member.model == name);
        if let (Some(one), Some(echo)) = (member("a"), member("echo")) {
            let ballot = Ballot::of(&rows[0], &fitted.priors.expect(&rows[0]), &fitted.committee);
            let alone = ballot.hear(Heard::default(), one);
            let believed = |heard: &Heard| fitted.model.posterior(heard, &ballot.logits).best();
            assert!((believed(&alone) - believed(&ballot.hear(alone, echo))).abs() < 0.02);
        }
    }

    #[test]
    fn when_a_dollar_is_all_the_cheapest_answers_and_when_it_is_nothing_all_are_right() {
        let (fitted, rows) = fitted(300);

        let (cost, _) = play(&fitted, &rows, 1e6);
        let (_, quality) = play(&fitted, &rows, 0.0);

        assert!((cost - 0.01).abs() < 1e-6 && quality > 0.999, "{cost} {quality}");
    }

    #[test]
    fn a_fit_is_the_same_each_time_and_survives_json() {
        let (one, _) = fitted(200);
        let (other, _) = fitted(200);

        let text = serde_json::to_string(&one.document).unwrap();
        assert_eq!(text, serde_json::to_string(&other.document).unwrap());
        let read: AgreementDocument = serde_json::from_str(&text).unwrap();
        assert_eq!(read.compile(|_| true).unwrap(), one.model);
    }

    #[test]
    fn costs_of_nothing_are_no_reason_to_stop() {
        let (fitted, rows) = fitted(200);
        let ballot = Ballot::of(&rows[0], &fitted.priors.expect(&rows[0]), &fitted.committee);
        let free = Charges::new(vec![Some(0.0); fitted.committee.len()]);

        assert!(matches!(fitted.model.step(&Heard::default(), &ballot.logits, &free).step, Step::Ask(_)));
    }
}
