//! The word lists of the guards; without rustfmt, which would put one word on a line.

/// Words that deny.
#[rustfmt::skip]
pub(super) const NEGATIONS: &[&str] = &[
    "not", "no", "never", "none", "nothing", "nobody", "nowhere", "neither", "nor", "without", "cannot", "except",
    "unless", "false", "incorrect", "wrong", "untrue", "fails", "lacks", "excluding", "impossible",
];

/// Months, weekdays, and days by their distance.
#[rustfmt::skip]
pub(super) const DATES: &[&str] = &[
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "monday",
    "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow", "yesterday", "tonight",
    "noon", "midnight", "am", "pm", "daily", "weekly", "monthly", "yearly", "annually", "hourly", "bc", "ad", "century",
    "decade",
];

/// Words that have an opposite.
#[rustfmt::skip]
pub(super) const POLARITY: &[&str] = &[
    "more", "less", "fewer", "most", "least", "fewest", "maximum", "minimum", "max", "min", "highest", "lowest",
    "higher", "lower", "greater", "smaller", "larger", "greatest", "smallest", "largest", "increase", "decrease",
    "increases", "decreases", "increased", "decreased", "before", "after", "first", "last", "earlier", "later",
    "earliest", "latest", "older", "younger", "oldest", "youngest", "above", "below", "over", "under", "up", "down",
    "left", "right", "out", "off", "true", "always", "all", "any", "some", "every", "each", "only", "both", "either",
    "same", "different", "positive", "negative", "odd", "even", "best", "worst", "longest", "shortest", "longer",
    "shorter", "faster", "slower", "hot", "cold", "north", "south", "east", "west", "male", "female", "man", "woman",
    "husband", "wife", "father", "mother", "buy", "sell", "bought", "sold", "win", "lose", "add", "subtract",
    "multiply", "divide", "plus", "minus", "sum", "product", "ascending", "descending", "advantages", "disadvantages",
    "pros", "cons", "possible", "correct",
];

/// What is asked for.
pub(super) const QUESTIONS: &[&str] =
    &["who", "whom", "whose", "what", "when", "where", "why", "which", "how", "often", "far"];

/// Words that begin sentences with a capital and are no names; any other counts as one.
#[rustfmt::skip]
pub(super) const CLAUSE_OPENERS: &[&str] = &[
    "the", "a", "an", "this", "that", "these", "those", "it", "its", "he", "she", "they", "we", "you", "i", "his",
    "her", "their", "our", "my", "your", "there", "here", "if", "when", "where", "while", "which", "what", "who",
    "whom", "whose", "why", "how", "is", "are", "was", "were", "be", "do", "does", "did", "can", "could", "should",
    "would", "will", "may", "might", "must", "have", "has", "had", "and", "or", "but", "so", "then", "also", "in", "on",
    "at", "by", "for", "from", "to", "of", "with", "without", "as", "after", "before", "during", "under", "over",
    "between", "among", "because", "since", "although", "though", "however", "therefore", "thus", "hence", "let",
    "please", "suppose", "assume", "consider", "given", "find", "determine", "compute", "calculate", "write", "explain",
    "describe", "list", "name", "give", "tell", "show", "answer", "question", "choose", "select", "identify", "solve",
    "evaluate", "estimate", "prove", "state", "define", "compare", "discuss", "summarize", "summarise", "translate",
    "create", "make", "complete", "use", "using", "note", "thank", "thanks", "many", "cheers", "hi", "hello", "hey",
    "dear", "each", "every", "all", "some", "any", "no", "not", "yes", "none", "one", "two", "three", "four", "five",
    "six", "seven", "eight", "nine", "ten", "only", "both", "either", "neither", "most", "more", "less", "few",
    "several", "another", "other", "first", "second", "third", "finally", "next", "last", "now", "today", "options",
    "option", "context", "example", "input", "output", "passage", "text", "sentence", "think", "provide", "return",
    "implement", "help", "today's", "people", "according", "about", "into", "out", "up",
];

/// Returns the digits of a number that is written as a word.
pub(super) fn number_word(word: &str) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("zero", "0"),
        ("one", "1"),
        ("two", "2"),
        ("three", "3"),
        ("four", "4"),
        ("five", "5"),
        ("six", "6"),
        ("seven", "7"),
        ("eight", "8"),
        ("nine", "9"),
        ("ten", "10"),
        ("eleven", "11"),
        ("twelve", "12"),
        ("thirteen", "13"),
        ("fourteen", "14"),
        ("fifteen", "15"),
        ("sixteen", "16"),
        ("seventeen", "17"),
        ("eighteen", "18"),
        ("nineteen", "19"),
        ("twenty", "20"),
        ("thirty", "30"),
        ("forty", "40"),
        ("fifty", "50"),
        ("sixty", "60"),
        ("seventy", "70"),
        ("eighty", "80"),
        ("ninety", "90"),
        ("hundred", "100"),
        ("thousand", "1000"),
        ("million", "1000000"),
        ("billion", "1000000000"),
        ("dozen", "dozen"),
        ("half", "half"),
        ("quarter", "quarter"),
        ("double", "double"),
        ("twice", "twice"),
        ("triple", "triple"),
        ("once", "once"),
        ("third", "third"),
        ("second", "second"),
        ("fourth", "fourth"),
        ("fifth", "fifth"),
        ("sixth", "sixth"),
        ("tenth", "tenth"),
        ("thrice", "thrice"),
    ];
    WORDS.iter().find(|(name, _)| *name == word).map(|(_, digits)| *digits)
}

/// Returns the short name of a unit; different units have different ones.
pub(super) fn unit(word: &str) -> Option<&'static str> {
    const UNITS: &[(&str, &[&str])] = &[
        ("km", &["km", "kilometer", "kilometers", "kilometre", "kilometres"]),
        ("m", &["m", "meter", "meters", "metre", "metres"]),
        ("cm", &["cm", "centimeter", "centimeters", "centimetre", "centimetres"]),
        ("mm", &["mm", "millimeter", "millimeters", "millimetre", "millimetres"]),
        ("mi", &["mile", "miles", "mi"]),
        ("yd", &["yard", "yards"]),
        ("ft", &["foot", "feet", "ft"]),
        ("in", &["inch", "inches"]),
        ("kg", &["kg", "kilogram", "kilograms", "kilo", "kilos"]),
        ("g", &["g", "gram", "grams"]),
        ("mg", &["mg", "milligram", "milligrams"]),
        ("lb", &["lb", "lbs", "pound", "pounds"]),
        ("oz", &["oz", "ounce", "ounces"]),
        ("t", &["ton", "tons", "tonne", "tonnes"]),
        ("l", &["l", "liter", "liters", "litre", "litres"]),
        ("ml", &["ml", "milliliter", "milliliters", "millilitre", "millilitres"]),
        ("gal", &["gallon", "gallons"]),
        ("s", &["s", "sec", "secs", "second", "seconds"]),
        ("ms", &["ms", "millisecond", "milliseconds"]),
        ("min", &["minute", "minutes"]),
        ("h", &["h", "hour", "hours", "hr", "hrs"]),
        ("d", &["day", "days"]),
        ("wk", &["week", "weeks"]),
        ("mo", &["month", "months"]),
        ("a", &["year", "years", "yr", "yrs"]),
        ("$", &["dollar", "dollars", "usd"]),
        ("ct", &["cent", "cents"]),
        ("€", &["euro", "euros", "eur"]),
        ("%", &["percent", "percentage"]),
        ("C", &["celsius", "centigrade"]),
        ("F", &["fahrenheit"]),
        ("K", &["kelvin"]),
        ("J", &["joule", "joules", "j"]),
        ("kJ", &["kj", "kilojoule", "kilojoules"]),
        ("cal", &["calorie", "calories", "cal", "kcal"]),
        ("W", &["watt", "watts", "w"]),
        ("kW", &["kw", "kilowatt", "kilowatts"]),
        ("V", &["volt", "volts", "v"]),
        ("A", &["ampere", "amperes", "amp", "amps"]),
        ("Hz", &["hz", "hertz"]),
        ("Pa", &["pa", "pascal", "pascals"]),
        ("atm", &["atm", "atmosphere", "atmospheres"]),
        ("N", &["newton", "newtons"]),
        ("mol", &["mol", "mole", "moles"]),
        ("rad", &["radian", "radians"]),
        ("deg", &["degree", "degrees"]),
        ("b", &["bit", "bits"]),
        ("B", &["byte", "bytes"]),
        ("kB", &["kb", "kilobyte", "kilobytes"]),
        ("MB", &["mb", "megabyte", "megabytes"]),
        ("GB", &["gb", "gigabyte", "gigabytes"]),
    ];
    UNITS.iter().find(|(_, names)| names.contains(&word)).map(|(short, _)| *short)
}
