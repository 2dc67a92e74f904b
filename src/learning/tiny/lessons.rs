//! Questions with their answers, made from a seed.

use rand::{
    Rng,
    seq::{IndexedRandom, index},
};

const THINGS: &[&str] =
    &["fox", "bird", "tree", "river", "stone", "lamp", "boat", "house", "cloud", "apple", "road", "horse"];
const COLOURS: &[&str] = &["red", "green", "blue", "white", "black", "brown"];
const SIZES: &[&str] = &["small", "large", "old", "new", "quiet", "bright"];
const VERBS: &[(&str, &str)] = &[
    ("sees", "saw"),
    ("finds", "found"),
    ("follows", "followed"),
    ("likes", "liked"),
    ("leaves", "left"),
    ("takes", "took"),
];

/// Which questions are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nine in ten.
    Training,
    /// The others, which are never trained on.
    Exam,
}

/// A question and its only right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lesson {
    /// What kind it is, in a word.
    pub kind: &'static str,
    /// What a user asks.
    pub question: String,
    /// What is answered.
    pub answer: String,
}

impl Lesson {
    /// Returns a lesson of the part.
    pub fn draw(random: &mut impl Rng, part: Part) -> Self {
        loop {
            let lesson = Self::any(random);
            if lesson.part() == part {
                return lesson;
            }
        }
    }

    /// Returns where the question belongs; its text alone says it.
    pub fn part(&self) -> Part {
        let hash = self.question.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        if (hash >> 32) % 10 == 0 { Part::Exam } else { Part::Training }
    }

    fn any(random: &mut impl Rng) -> Self {
        match random.random_range(0..6) {
            0 => sum(random),
            1 => counting(random),
            2 => sorting(random),
            3 => json(random),
            4 => reversal(random),
            _ => past(random),
        }
    }
}

fn sum(random: &mut impl Rng) -> Lesson {
    let (a, b) = (random.random_range(0..=12), random.random_range(0..=12));
    Lesson { kind: "sum", question: format!("Add {a} and {b}."), answer: format!("{a} + {b} = {}", a + b) }
}

fn counting(random: &mut impl Rng) -> Lesson {
    let first = random.random_range(1..=20);
    let last = first + random.random_range(2..=8);
    let numbers: Vec<String> = (first..=last).map(|number: u32| number.to_string()).collect();
    Lesson { kind: "counting", question: format!("Count from {first} to {last}."), answer: numbers.join(", ") }
}

fn sorting(random: &mut impl Rng) -> Lesson {
    let count = random.random_range(3..=5);
    let drawn = index::sample(random, 10, count).into_vec();
    let line = |digits: &[usize]| digits.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
    let mut sorted = drawn.clone();
    sorted.sort_unstable();
    Lesson { kind: "sorting", question: format!("Sort {}.", line(&drawn)), answer: line(&sorted) }
}

fn json(random: &mut impl Rng) -> Lesson {
    let thing = one(random, THINGS);
    let colour = one(random, COLOURS);
    let count: u32 = random.random_range(1..=20);
    let question = format!("Write as JSON: thing {thing}, colour {colour}, count {count}.");
    let answer = format!(r#"{{"thing": "{thing}", "colour": "{colour}", "count": {count}}}"#);
    Lesson { kind: "json", question, answer }
}

fn reversal(random: &mut impl Rng) -> Lesson {
    let count = random.random_range(2..=4);
    let mut drawn: Vec<&str> = (0..count).map(|_| one(random, THINGS)).collect();
    let question = format!("Reverse: {}.", drawn.join(" "));
    drawn.reverse();
    Lesson { kind: "reversal", question, answer: drawn.join(" ") }
}

fn past(random: &mut impl Rng) -> Lesson {
    let (now, then) = VERBS.choose(random).copied().unwrap_or_default();
    let (size, thing) = (one(random, SIZES), one(random, THINGS));
    let (colour, other) = (one(random, COLOURS), one(random, THINGS));
    let sentence = |verb: &str| format!("the {size} {thing} {verb} a {colour} {other}.");
    Lesson { kind: "past", question: format!("Past: {}", sentence(now)), answer: sentence(then) }
}

fn one(random: &mut impl Rng, of: &[&'static str]) -> &'static str {
    of.choose(random).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_lessons_and_every_kind() {
        let draw = |seed| {
            let mut random = ChaCha12Rng::seed_from_u64(seed);
            (0..100).map(|_| Lesson::draw(&mut random, Part::Training)).collect::<Vec<_>>()
        };

        let kinds: std::collections::BTreeSet<_> = draw(1).iter().map(|lesson| lesson.kind).collect();

        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(kinds.len(), 6);
    }

    #[test]
    fn sorted_numbers_are_those_of_the_question_in_order() {
        let mut random = ChaCha12Rng::seed_from_u64(3);

        let lesson = sorting(&mut random);

        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<Vec<_>>();
        let mut asked = digits(&lesson.question);
        asked.sort_unstable();
        assert_eq!(digits(&lesson.answer), asked);
    }
}
