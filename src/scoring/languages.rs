//! What time it is, asked in twenty languages: prompts in many scripts for tests.

/// The question, once per language.
pub(super) const QUESTIONS: [&str; 20] = [
    "Wie spät ist es?",
    "Quelle heure est-il ?",
    "¿Qué hora es?",
    "Che ore sono?",
    "Que horas são?",
    "几点了？",
    "何時ですか",
    "몇 시예요?",
    "Который час?",
    "كم الساعة؟",
    "מה השעה?",
    "क्या समय हुआ है?",
    "কয়টা বাজে?",
    "நேரம் என்ன?",
    "กี่โมงแล้ว",
    "Mấy giờ rồi?",
    "Saat kaç?",
    "Τι ώρα είναι;",
    "Hvad er klokken?",
    "ስንት ሰዓት ነው?",
];
