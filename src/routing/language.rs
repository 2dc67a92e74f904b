//! Which language a text is in.

use whatlang::detect;

use crate::domain::Language;

/// Bytes that are looked at: enough for a firm answer, which takes about 0.1 ms.
const MAX_BYTES: usize = 2_048;

/// Returns the language of the beginning of a text; `None` when it is too short, too mixed or in none of the known ones.
pub fn language_of(text: &str) -> Option<Language> {
    let found = detect(head(text)).filter(whatlang::Info::is_reliable)?;
    Language::of_three_letters(found.lang().code())
}

fn head(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_BYTES);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        language_of(text).map(Language::code)
    }

    #[test]
    fn a_sentence_is_enough() {
        let sentences = [
            ("How do I convince my landlord to repair the heating before the winter comes?", "en"),
            ("Wie überzeuge ich meinen Vermieter, die Heizung noch vor dem Winter zu reparieren?", "de"),
            ("Comment convaincre mon propriétaire de réparer le chauffage avant l'hiver ?", "fr"),
            ("Как убедить хозяина квартиры починить отопление до зимы?", "ru"),
            ("怎样说服房东在冬天之前修好暖气？", "zh"),
            ("冬が来る前に暖房を直すよう大家さんを説得するにはどうすればいいですか。", "ja"),
            ("겨울이 오기 전에 집주인에게 난방을 고치라고 어떻게 설득하나요?", "ko"),
        ];

        for (text, expected) in sentences {
            assert_eq!(code(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_language_has_none() {
        assert_eq!(code(""), None);
        assert_eq!(code("2 + 2 = 4; 3 * 3 = 9"), None);
    }

    #[test]
    fn a_long_text_is_judged_by_its_beginning_and_cut_between_characters() {
        let german = "Die Straße ist gesperrt, weil über Nacht ein großer Baum umgestürzt ist. ".repeat(40);

        assert_eq!(code(&format!("{german}{}", "and this is English ".repeat(10_000))), Some("de"));
        assert!((0..4).all(|shift| head(&format!("{}{}", "a".repeat(shift), "ß€".repeat(2_000))).len() <= MAX_BYTES));
    }
}
