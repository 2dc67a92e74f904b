//! The document of a fitted model, and what is checked before it is used.

use serde::{Deserialize, Serialize};

use super::{
    heard::{MOST_MEMBERS, MemberSet},
    posterior::VoteWeights,
    step::{AgreementModel, Member, Worth, first_width, width},
};
use crate::domain::ModelName;

/// The version of documents that this program writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// What `pointsman plans fit` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it was fitted on, for people.
    pub fitted_on: String,
    /// The committee; everything else names members by their place here.
    pub members: Vec<MemberDocument>,
    /// How many of them are asked at most.
    pub most: usize,
    /// Weights of a dollar, in right answers, that values are fitted at; ascending.
    pub rates: Vec<f64>,
    /// What answers weigh: one entry for every set of 1 to `most` members.
    pub votes: Vec<VotesDocument>,
    /// What asking each member first is worth, in order.
    pub first: Vec<WorthDocument>,
    /// What asking on is worth: one entry for every set of fewer than `most` members and everyone else.
    pub further: Vec<FurtherDocument>,
}

/// A member of the committee.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDocument {
    /// The model.
    pub model: String,
    /// USD a call, in the mean.
    pub mean_cost: f64,
    /// Quality in `[0, 1]`, in the mean.
    pub mean_quality: f64,
}

/// What the answers of a set of members weigh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VotesDocument {
    /// The members, ascending.
    pub asked: Vec<usize>,
    /// By member of `asked`.
    pub weight: Vec<f64>,
    /// By member of `asked`, per unit of the logit of its predicted quality.
    pub slope: Vec<f64>,
    /// By member of `asked`, per standard deviation of the logarithm of its answer's length.
    pub length: Vec<f64>,
    /// By pair of `asked` that said the same: first with second, first with third, ..., second with third, ...
    pub pair: Vec<f64>,
    /// Of "none of them": a constant, per unit of the mean logit, and per unit of the mean length.
    pub none: [f64; 3],
}

/// Linear functions, one list of coefficients per rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorthDocument {
    /// Expected quality after asking on, less the probability of the best answer so far.
    pub gain: Vec<Vec<f64>>,
    /// Expected dollars after that answer.
    pub later: Vec<Vec<f64>>,
}

/// What asking one more is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FurtherDocument {
    /// Who has been asked, ascending.
    pub asked: Vec<usize>,
    /// Who is asked next.
    pub next: usize,
    /// What that is worth.
    pub worth: WorthDocument,
}

/// A document that cannot be used, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable agreement model: {}", .faults.join("; "))]
pub struct InvalidAgreement {
    /// Each with its place.
    pub faults: Vec<String>,
}

impl AgreementDocument {
    /// Checks everything and makes it ready for use. `known` says whether there is a model of a name; where all are, pass
    /// `|_| true`.
    ///
    /// # Errors
    /// All faults, each with its place: another version, no or unknown or repeated members, numbers that are not finite, lists
    /// of the wrong length, sets that are missing or twice.
    pub fn compile(&self, known: impl Fn(&ModelName) -> bool) -> Result<AgreementModel, InvalidAgreement> {
        let mut check = Check { document: self, faults: Vec::new() };
        check.head();
        if !check.faults.is_empty() {
            return Err(InvalidAgreement { faults: check.faults });
        }
        let members = check.members(known);
        let votes = check.votes();
        let first = check.first();
        let further = check.further();
        match check.faults.is_empty() {
            true => Ok(AgreementModel { members, most: self.most, rates: self.rates.clone(), votes, first, further }),
            false => Err(InvalidAgreement { faults: check.faults }),
        }
    }
}

struct Check<'a> {
    document: &'a AgreementDocument,
    faults: Vec<String>,
}

impl Check<'_> {
    fn fault(&mut self, place: &str, what: &str) {
        self.faults.push(format!("{place}: {what}"));
    }

    /// Checks what the shapes of everything else follow from.
    fn head(&mut self) {
        let (version, members, most) = (self.document.schema_version, self.document.members.len(), self.document.most);
        if version != SCHEMA_VERSION {
            self.fault("schema_version", &format!("{version} is not {SCHEMA_VERSION}; fit the model again"));
        }
        if !(1..=MOST_MEMBERS).contains(&members) {
            self.fault("members", &format!("{members} members; there must be 1 to {MOST_MEMBERS}"));
        }
        if !(1..=members).contains(&most) {
            self.fault("most", &format!("{most} of {members} members; must be 1 to {members}"));
        }
        let is_ascending = self.document.rates.windows(2).all(|ends| matches!(ends, [low, high] if low < high));
        let is_sound = self.document.rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0);
        if self.document.rates.is_empty() || !is_ascending || !is_sound {
            self.fault("rates", "must be finite numbers from 0 on, at least one, ascending");
        }
    }

    fn members(&mut self, known: impl Fn(&ModelName) -> bool) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for (index, MemberDocument { model, mean_cost, mean_quality }) in self.document.members.iter().enumerate() {
            if !(mean_cost.is_finite() && *mean_cost >= 0.0) {
                self.fault(&format!("members[{index}].mean_cost"), &format!("{mean_cost} is no cost"));
            }
            if !(0.0..=1.0).contains(mean_quality) {
                let place = format!("members[{index}].mean_quality");
                self.fault(&place, &format!("{mean_quality} is no quality; must be 0 to 1"));
            }
            let place = format!("members[{index}].model");
            match ModelName::parse(model) {
                Err(error) => self.fault(&place, &error.to_string()),
                Ok(name) if members.iter().any(|member| member.model == name) => {
                    self.fault(&place, &format!("\"{name}\" is a member already"));
                }
                Ok(name) => {
                    if !known(&name) {
                        self.fault(&place, &format!("unknown model \"{name}\""));
                    }
                    members.push(Member { model: name, mean_cost: *mean_cost, mean_quality: *mean_quality });
                }
            }
        }
        members
    }

    fn votes(&mut self) -> Vec<Option<VoteWeights>> {
        let mut votes: Vec<Option<VoteWeights>> = vec![None; 1 << MOST_MEMBERS];
        for (index, entry) in self.document.votes.iter().enumerate() {
            let place = format!("votes[{index}]");
            let Some(set) = self.set(&entry.asked, self.document.most, &place) else { continue };
            let size = entry.asked.len();
            self.numbers(&entry.weight, size, &format!("{place}.weight"));
            self.numbers(&entry.slope, size, &format!("{place}.slope"));
            self.numbers(&entry.pair, size * (size - 1) / 2, &format!("{place}.pair"));
            self.numbers(&entry.length, size, &format!("{place}.length"));
            self.numbers(&entry.none, 3, &format!("{place}.none"));
            let Some(slot) = votes.get_mut(set.index()) else { continue };
            if slot.replace(VoteWeights::from(entry)).is_some() {
                self.fault(&place, "these members have an entry already");
            }
        }
        for set in MemberSet::all(self.document.members.len(), self.document.most) {
            if votes.get(set.index()).is_none_or(Option::is_none) {
                self.fault("votes", &format!("no entry for members {:?}", set.iter().collect::<Vec<_>>()));
            }
        }
        votes
    }

    fn first(&mut self) -> Vec<Worth> {
        let (found, members) = (self.document.first.len(), self.document.members.len());
        if found != members {
            self.fault("first", &format!("{found} entries for {members} members"));
        }
        let entries = self.document.first.iter().enumerate();
        entries.map(|(index, worth)| self.worth(worth, first_width(members), &format!("first[{index}]"))).collect()
    }

    fn further(&mut self) -> Vec<[Option<Worth>; MOST_MEMBERS]> {
        let (members, most) = (self.document.members.len(), self.document.most);
        let mut further = vec![[const { None }; MOST_MEMBERS]; 1 << MOST_MEMBERS];
        for (index, entry) in self.document.further.iter().enumerate() {
            let place = format!("further[{index}]");
            let Some(set) = self.set(&entry.asked, most.saturating_sub(1), &place) else { continue };
            if entry.next >= members || set.has(entry.next) {
                self.fault(&format!("{place}.next"), &format!("{} is no member that is left", entry.next));
                continue;
            }
            let worth = self.worth(&entry.worth, width(members), &format!("{place}.worth"));
            let slot = further.get_mut(set.index()).and_then(|row| row.get_mut(entry.next));
            if slot.is_some_and(|slot| slot.replace(worth).is_some()) {
                self.fault(&place, "these members and this next one have an entry already");
            }
        }
        for set in MemberSet::all(members, most - 1) {
            for next in (0..members).filter(|next| !set.has(*next)) {
                if further.get(set.index()).and_then(|row| row.get(next)).is_none_or(Option::is_none) {
                    let asked: Vec<usize> = set.iter().collect();
                    self.fault("further", &format!("no entry for members {asked:?} and next {next}"));
                }
            }
        }
        further
    }

    /// Returns the set that a list of members is.
    fn set(&mut self, asked: &[usize], most: usize, place: &str) -> Option<MemberSet> {
        let is_ascending = asked.windows(2).all(|ends| matches!(ends, [low, high] if low < high));
        let is_known = asked.iter().all(|member| *member < self.document.members.len());
        if is_ascending && is_known && (1..=most).contains(&asked.len()) {
            return Some(MemberSet::of(asked.iter().copied()));
        }
        self.fault(&format!("{place}.asked"), &format!("{asked:?} must be 1 to {most} members, ascending"));
        None
    }

    fn worth(&mut self, worth: &WorthDocument, width: usize, place: &str) -> Worth {
        let rates = self.document.rates.len();
        for (name, functions) in [("gain", &worth.gain), ("later", &worth.later)] {
            let place = format!("{place}.{name}");
            if functions.len() != rates {
                self.fault(&place, &format!("{} lists for {rates} rates", functions.len()));
            }
            for (index, function) in functions.iter().enumerate() {
                self.numbers(function, width, &format!("{place}[{index}]"));
            }
        }
        Worth { gain: worth.gain.clone(), later: worth.later.clone() }
    }

    fn numbers(&mut self, numbers: &[f64], length: usize, place: &str) {
        if numbers.len() != length {
            self.fault(place, &format!("{} numbers, there must be {length}", numbers.len()));
        }
        if let Some(bad) = numbers.iter().find(|number| !number.is_finite()) {
            self.fault(place, &format!("{bad} is not finite"));
        }
    }
}

impl From<&VotesDocument> for VoteWeights {
    /// Lists that are too short count as 0 from there on.
    fn from(entry: &VotesDocument) -> Self {
        let mut pairs = entry.pair.iter();
        let zero = [0.0; MOST_MEMBERS];
        let mut weights =
            Self { weight: zero, slope: zero, length: zero, pair: [zero; MOST_MEMBERS], none: entry.none };
        for (place, member) in entry.asked.iter().enumerate() {
            let of = |values: &[f64]| values.get(place).copied().unwrap_or(0.0);
            weights.weight.iter_mut().skip(*member).take(1).for_each(|value| *value = of(&entry.weight));
            weights.length.iter_mut().skip(*member).take(1).for_each(|value| *value = of(&entry.length));
            weights.slope.iter_mut().skip(*member).take(1).for_each(|value| *value = of(&entry.slope));
            let Some(row) = weights.pair.get_mut(*member) else { continue };
            for (other, value) in entry.asked.iter().skip(place + 1).zip(&mut pairs) {
                row.iter_mut().skip(*other).take(1).for_each(|place| *place = *value);
            }
        }
        weights
    }
}
