//! What mojibake looks like: classes of characters, and sequences of them that are hardly ever meant. Written by
//! `fixtures/sources/mojibake.py` from the tables of ftfy (Robyn Speer, Apache-2.0), whose reasons stand there.

/// Classes of characters, by name, as a regular expression writes them between brackets.
pub(super) const CLASSES: [(&str, &str); 14] = [
    ("common", "\u{a0}\u{ad}´·–-―’…"),
    ("c1", "\u{80}-\u{9f}"),
    ("bad", "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}"),
    ("law", "§¶"),
    ("currency", "¢£¥₧€"),
    ("start_punctuation", "¡©«¿΄΅‘‚“„•‹\u{f8ff}"),
    ("end_punctuation", "®»˝”›™"),
    ("numeric", "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"),
    ("kaomoji", "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ"),
    ("upper_accented", "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    ("lower_accented", "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ"),
    ("upper_common", "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Я"),
    ("lower_common", "ά-ωа-џ"),
    ("box", "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓"),
];

/// Sequences, each of them bad.
pub(super) const BAD: [&str; 37] = [
    "[{c1}]",
    "[{bad}{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}][{bad}]",
    "[a-zA-Z][{lower_common}{upper_common}][{bad}]",
    "[{bad}][{lower_accented}{upper_accented}{box}{start_punctuation}{end_punctuation}{currency}{numeric}{law}]",
    "[{lower_accented}{lower_common}{box}{end_punctuation}{currency}{numeric}][{upper_accented}]",
    "[{box}{end_punctuation}{currency}{numeric}][{lower_accented}]",
    "[{lower_accented}{box}{end_punctuation}][{currency}]",
    "\\s[{upper_accented}][{currency}]",
    "[{upper_accented}{box}][{numeric}{law}]",
    "[{lower_accented}{upper_accented}{box}{currency}{end_punctuation}][{start_punctuation}][{numeric}]",
    "[{lower_accented}{upper_accented}{currency}{numeric}{box}{law}][{end_punctuation}][{start_punctuation}]",
    "[{currency}{numeric}{box}][{start_punctuation}]",
    "[a-z][{upper_accented}][{start_punctuation}{currency}]",
    "[{box}][{kaomoji}]",
    "[{lower_accented}{upper_accented}{currency}{numeric}{start_punctuation}{end_punctuation}{law}][{box}]",
    "[{box}][{end_punctuation}]",
    "[{lower_accented}{upper_accented}][{start_punctuation}{end_punctuation}]\\w",
    "[Œœ][^A-Za-z]",
    "[{upper_accented}]°",
    "[ÂÃÎÐ][€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»{start_punctuation}{end_punctuation}–—´]",
    "×[²³]",
    "[ØÙ][{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»][ØÙ][{common}{currency}{bad}{numeric}{start_punctuation}ŸŠ®°µ»]",
    "à[²µ¹¼½¾]",
    "√[±∂†≠®™´≤≥¥µø]",
    "≈[°¢]",
    "‚Ä[ìîïòôúùû†°¢π]",
    "‚[âó][àä°ê]",
    "вЂ",
    "[ВГРС][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°µ][ВГРС]",
    "ГўВЂВ.[A-Za-z ]",
    "Ã[\u{a0}¡]",
    "[a-z]\\s?[ÃÂ][ ]",
    "^[ÃÂ][ ]",
    "[a-z.,?!{end_punctuation}]Â[ {start_punctuation}{end_punctuation}]",
    "β€[™\u{a0}Ά\u{ad}®°]",
    "[ΒΓΞΟ][{c1}{bad}{start_punctuation}{end_punctuation}{currency}°][ΒΓΞΟ]",
    "ā€",
];

/// What the first byte of a character of two bytes in UTF-8 looks like.
pub(super) const FIRST_OF_2: &str = "Â-ßĀĂĆČĎĐĒĖĘĚĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŢŪŮŰŲŹŻŽΒ-ΡΣ-ίВ-Я";
/// The same of three bytes.
pub(super) const FIRST_OF_3: &str = "à-ïāăąćčďēėęěģīįķĺļŕźΰ-οа-п";
/// The same of four bytes.
pub(super) const FIRST_OF_4: &str = "ðóđğšπσру";
/// What the other bytes look like.
pub(super) const CONTINUES: &str = " \u{80}-¿ÆØæøĄąĽľŁłŒœŖŗŚśŞ-šŤťŸ-žƒˆˇ˘˛-˝΄-ΆΈ-ΊΌΎΏЁ-ЌЎЏё-ќўџҐґ–-―‘-‚“-„†-•…‰‹›€№™";
/// The same without what often stands for itself.
pub(super) const CONTINUES_FOR_SURE: &str = "\u{80}-¿ÆØæøĄąĽľŁłŒœŖŗŚśŞ-šŤťŸ-žƒˆˇ˘˛-˝΄-ΆΈ-ΊΌΎΏЁ-ЌЎЏё-ќўџҐґ†‡‰‹›€№™";
