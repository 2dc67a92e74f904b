//! Counting votes: who leads, and whether that can still change.

/// One vote that has come in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vote {
    /// The position of its member.
    pub(super) member: usize,
    /// What it is for.
    pub(super) answer: String,
    /// What it counts.
    pub(super) weight: f64,
}

/// The votes so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ballot {
    votes: Vec<Vote>,
}

/// Where an answer stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing<'a> {
    pub(super) answer: &'a str,
    pub(super) weight: f64,
    /// Its first voter.
    first: usize,
}

impl Ballot {
    pub(super) fn cast(&mut self, vote: Vote) {
        self.votes.push(vote);
    }

    /// Returns every answer, the one of the greatest weight first, of equal ones that of the earlier member.
    pub(super) fn standings(&self) -> Vec<Standing<'_>> {
        let mut standings: Vec<Standing<'_>> = Vec::new();
        for vote in &self.votes {
            match standings.iter_mut().find(|standing| standing.answer == vote.answer) {
                Some(standing) => {
                    standing.weight += vote.weight;
                    standing.first = standing.first.min(vote.member);
                }
                None => standings.push(Standing { answer: &vote.answer, weight: vote.weight, first: vote.member }),
            }
        }
        standings.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.first.cmp(&b.first)));
        standings
    }

    /// Returns whether votes of `outstanding` weight in all, for whatever answer, can no longer change who leads.
    pub(super) fn is_decided(&self, outstanding: f64) -> bool {
        let standings = self.standings();
        let mut weights = standings.iter().map(|standing| standing.weight);
        let Some(leader) = weights.next() else { return outstanding <= 0.0 };
        outstanding <= 0.0 || leader > weights.next().unwrap_or(0.0) + outstanding
    }

    /// Returns the member that speaks for the leading answer, and the share of the weight that came in which is for it: of its
    /// voters the one of the greatest weight, of equal ones the earlier.
    pub(super) fn winner(&self) -> Option<(usize, f64)> {
        let standings = self.standings();
        let leader = standings.first()?;
        let total: f64 = self.votes.iter().map(|vote| vote.weight).sum();
        let voters = self.votes.iter().filter(|vote| vote.answer == leader.answer);
        let speaker = voters.max_by(|a, b| a.weight.total_cmp(&b.weight).then(b.member.cmp(&a.member)))?;
        Some((speaker.member, if total > 0.0 { leader.weight / total } else { 1.0 }))
    }

    /// Returns what a member voted for.
    pub(super) fn vote_of(&self, member: usize) -> Option<&str> {
        self.votes.iter().find(|vote| vote.member == member).map(|vote| vote.answer.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ballot(votes: &[(&str, f64)]) -> Ballot {
        let vote = |(member, (answer, weight)): (usize, &(&str, f64))| Vote {
            member,
            answer: (*answer).to_owned(),
            weight: *weight,
        };
        Ballot { votes: votes.iter().enumerate().map(vote).collect() }
    }

    #[test]
    fn the_greatest_weight_leads_and_of_equal_ones_the_earlier_member() {
        assert_eq!(ballot(&[("a", 1.0), ("b", 1.0), ("b", 1.0)]).winner(), Some((1, 2.0 / 3.0)));
        assert_eq!(ballot(&[("a", 1.0), ("b", 1.0)]).winner(), Some((0, 0.5)));
        assert_eq!(ballot(&[("a", 1.0), ("b", 3.0), ("a", 1.0)]).winner(), Some((1, 0.6)));
        assert_eq!(ballot(&[("a", 1.0), ("a", 2.0)]).winner(), Some((1, 1.0)));
        assert_eq!(ballot(&[]).winner(), None);
    }

    #[test]
    fn a_lead_that_nobody_can_take_is_decided() {
        let two_to_one = ballot(&[("a", 1.0), ("b", 1.0), ("a", 1.0)]);

        assert!(!two_to_one.is_decided(1.0), "the last one could draw level");
        assert!(two_to_one.is_decided(0.5) && two_to_one.is_decided(0.0));
        assert!(ballot(&[("a", 1.0), ("a", 1.0)]).is_decided(1.0));
        assert!(!ballot(&[]).is_decided(1.0) && ballot(&[]).is_decided(0.0));
    }

    proptest! {
        #[test]
        fn what_is_decided_never_changes(
            votes in proptest::collection::vec((0..4usize, 1..5u32), 1..8), seen in 0..8usize,
        ) {
            let all: Vec<(&str, f64)> =
                votes.iter().map(|(answer, weight)| (["a", "b", "c", "d"][*answer], f64::from(*weight))).collect();
            let (come, outstanding) = all.split_at(seen.min(all.len()));
            let early = ballot(come);

            if !come.is_empty() && early.is_decided(outstanding.iter().map(|(_, weight)| weight).sum()) {
                let late = ballot(&all);
                prop_assert_eq!(early.standings()[0].answer, late.standings()[0].answer);
            }
        }
    }
}
