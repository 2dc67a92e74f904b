//! A committee for tests, with weights that can be followed by hand.

use super::{
    AgreementDocument, AgreementModel, FurtherDocument, MemberDocument, MemberSet, SCHEMA_VERSION, VotesDocument,
    WorthDocument, first_width, width,
};

/// Returns a committee that believes two who agree (0.92), one alone or two who differ a third, and finds asking on worth half
/// of its doubt, whoever is asked.
pub(crate) fn committee(names: &[&str]) -> AgreementModel {
    let members = names.len();
    let asked = |set: MemberSet| set.iter().collect::<Vec<_>>();
    let constant = |width: usize, coefficients: &[f64]| {
        let mut gain = coefficients.to_vec();
        gain.resize(width, 0.0);
        WorthDocument { gain: vec![gain], later: vec![vec![0.0; width]] }
    };
    let votes = MemberSet::all(members, members).into_iter().map(|set| {
        let size = set.len();
        VotesDocument {
            asked: asked(set),
            weight: vec![0.0; size],
            slope: vec![0.0; size],
            length: vec![0.0; size],
            pair: vec![3.0; size * (size - 1) / 2],
            none: [0.5, 0.0, 0.0],
        }
    });
    let mut further = Vec::new();
    for set in MemberSet::all(members, members - 1) {
        for next in (0..members).filter(|next| !set.has(*next)) {
            let worth = constant(width(members), &[0.5, -0.5]);
            further.push(FurtherDocument { asked: asked(set), next, worth });
        }
    }
    let document = AgreementDocument {
        schema_version: SCHEMA_VERSION,
        fitted_on: "nothing".to_owned(),
        members: names
            .iter()
            .map(|name| MemberDocument { model: (*name).to_owned(), mean_cost: 0.001, mean_quality: 0.5 })
            .collect(),
        most: members,
        rates: vec![1.0],
        votes: votes.collect(),
        first: (0..members).map(|_| constant(first_width(members), &[0.5])).collect(),
        further,
    };
    document.compile(|_| true).unwrap()
}
