//! What is valid is taken out whatever stands around it, and what only looks alike stays.

use proptest::prelude::*;

use super::checks::{china, iban, luhn};
use super::*;

fn scrub() -> Scrub {
    Scrub::new(&ScrubConfig::default()).expect("no files")
}

fn clean(text: &str) -> String {
    scrub().scrub(text, &mut Counts::new()).unwrap_or_else(|| text.into())
}

#[test]
fn values_are_taken_out_and_their_surroundings_stay() {
    let cases = [
        ("Mail <jane.doe+x@mail.example.co.uk>, or a@b.", "Mail <<email>>, or a@b."),
        ("请联系wang@example.cn。", "请联系<email>。"),
        (
            "http://user:pa55@host.org/x and https://host.org:80/@me",
            "http://<credentials>@host.org/x and https://host.org:80/@me",
        ),
        ("https://a.org/x?id=3&token=abc&z=1", "https://a.org/x?id=3&token=<credentials>&z=1"),
        (
            "from 93.184.216.34:8080, not 192.168.0.1, 127.0.0.1, 1.2.3.4.5 or 300.1.1.1",
            "from <ip>:8080, not 192.168.0.1, 127.0.0.1, 1.2.3.4.5 or 300.1.1.1",
        ),
        ("[2001:db8:85a3::8a2e:370:7334]. At 12:30:45 std::dec", "[<ip>]. At 12:30:45 std::dec"),
        ("card 4111 1111 1111 1111, 4111-1111-1111-1111; 4111111111111112", "card <card>, <card>; 4111111111111112"),
        ("IBAN GB29 NWBK 6016 1331 9268 19 now", "IBAN <iban> now"),
        ("DE89370400440532013000. DE89370400440532013001", "<iban>. DE89370400440532013001"),
        ("SSN 123-45-6789, not 666-45-6789", "SSN <national-id>, not 666-45-6789"),
        ("身份证号11010519491231002X，不是110105194912310021", "身份证号<national-id>，不是110105194912310021"),
        ("CPF 529.982.247-25, NINO AB 12 34 56 C, DNI 12345678Z", "CPF <national-id>, NINO <national-id>, DNI <national-id>"),
        ("+44 20 7946 0958, (212) 555-0187, 212-555-0187, 1-212-555-0187", "<phone>, <phone>, <phone>, <phone>"),
        ("电话13812345678，或010-12345678", "电话<phone>，或<phone>"),
        ("In 1912-1914 some 1,234,567 of 3.14159 and 10 000 000", "In 1912-1914 some 1,234,567 of 3.14159 and 10 000 000"),
        ("ISBN 978-3-16-148410-0, 2024-01-02, 12:30, 1000-2000", "ISBN 978-3-16-148410-0, 2024-01-02, 12:30, 1000-2000"),
        ("use AKIAIOSFODNN7EXAMPLQ now", "use <key> now"),
        ("sk-xxxxxxxxxxxxxxxxxxxxxxxx and sk-T3BlbkFJa81Qz7bMw0Lr", "sk-xxxxxxxxxxxxxxxxxxxxxxxx and <key>"),
        ("password: 'q8Zr2Lw9Xk4Vt7Bn'", "password: '<key>'"),
        ("AWS_SECRET_ACCESS_KEY=q8Zr2Lw9Xk4Vt7Bn", "AWS_SECRET_ACCESS_KEY=<key>"),
        ("https://a.org/?to=http://b.org/?token=abc", "https://a.org/?to=http://b.org/?token=<credentials>"),
        ("password: see page 12", "password: see page 12"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "-----<key>-----"),
    ];
    for (text, expect) in cases {
        assert_eq!(clean(text), expect);
    }
}

#[test]
fn counts_are_by_kind_and_a_key_links_equal_values() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("writes");
        path
    };
    let config = |key: &str| ScrubConfig {
        hash_key: Some(file("key", key)),
        names: Some(file("names", "Jane Doe\n王小明\n")),
        ..ScrubConfig::default()
    };
    let mut counts = Counts::new();
    let text = "Jane Doe (JANE@x.org, jane@x.org) met 王小明们, not Jane Doerr.";
    let one = Scrub::new(&config("sixteen bytes at least")).expect("reads").scrub(text, &mut counts).expect("found");
    assert_eq!(counts, Counts::from([(Kind::Email, 2), (Kind::Name, 2)]));
    assert!(!one.contains("jane") && !one.contains("小明") && one.contains("们, not Jane Doerr."), "{one}");
    let tags: Vec<&str> = one.split(['<', '>']).filter(|part| part.starts_with("email:")).collect();
    assert_eq!(tags[0], tags[1]);
    let other = Scrub::new(&config("another key of many bytes")).expect("reads").scrub(text, &mut counts).expect("found");
    assert_ne!(one, other);
    assert!(matches!(Scrub::new(&config("short")), Err(Error::List { .. })));
}

#[test]
fn only_the_kinds_asked_for_are_taken_out() {
    let config = ScrubConfig { kinds: vec![Kind::Ip], ..ScrubConfig::default() };
    let scrub = Scrub::new(&config).expect("no files");
    assert_eq!(scrub.scrub("a@b.org 93.184.216.34", &mut Counts::new()).as_deref(), Some("a@b.org <ip>"));
}

/// A number of this length that begins with `lead`, and the digit that makes it pass or fail the check.
fn card(lead: &str, body: u64, length: usize, valid: bool) -> String {
    let mut digits = format!("{lead}{body:0>width$}", width = length - 1 - lead.len());
    digits.truncate(length - 1);
    let passes = |last: char| luhn(&format!("{digits}{last}").bytes().map(|byte| byte - b'0').collect::<Vec<_>>());
    let last = ('0'..='9').find(|&last| passes(last) == valid).expect("one in ten passes");
    format!("{digits}{last}")
}

proptest! {
    #[test]
    fn cards_with_a_good_check_digit_go_and_others_stay(
        (lead, length) in prop_oneof![Just(("4", 16)), Just(("51", 16)), Just(("37", 15)), Just(("6011", 16)), Just(("36", 14))],
        body in 0_u64..100_000_000,
        (before, after) in (prop_oneof![Just(""), Just("no "), Just("卡号"), Just("(")], prop_oneof![Just(""), Just("."), Just(" x"), Just("，")]),
    ) {
        let good = card(lead, body, length, true);
        prop_assert_eq!(clean(&format!("{before}{good}{after}")), format!("{before}<card>{after}"));
        let bad = card(lead, body, length, false);
        let text = format!("{before}{bad}{after}");
        prop_assert_eq!(clean(&text), text.clone());
    }

    #[test]
    fn accounts_go_only_with_good_check_digits(bank in "[A-Z]{4}", number in "[0-9]{14}", off in 1_u32..96) {
        let with = |check: u32| format!("GB{check:02}{bank}{number}");
        let check = (2..99).find(|&check| iban(with(check).as_bytes())).expect("one of 97 passes");
        prop_assert_eq!(clean(&format!("to {}.", with(check))), "to <iban>.");
        let wrong = (check - 2 + off) % 97 + 2;
        let text = format!("to {}.", with(wrong));
        prop_assert_eq!(clean(&text), text.clone());
    }

    #[test]
    fn residents_of_china_go_only_with_a_good_check_character(area in 11_0000_u32..65_9999, year in 1900_u32..2020, month in 1_u32..13, day in 1_u32..29, serial in 0_u32..1000) {
        let with = |check: char| format!("{area}{year}{month:02}{day:02}{serial:03}{check}");
        for check in "0123456789X".chars() {
            let number = with(check);
            let taken = clean(&number) == "<national-id>";
            // A number of nineteen digits or fewer may also be a card's, never a person's without its check.
            prop_assert_eq!(taken, china(number.as_bytes()) && clean(&number) != "<card>");
        }
    }

    #[test]
    fn mail_addresses_go_whatever_stands_around(user in "[a-z][a-z0-9]{0,8}([._+-][a-z0-9]{1,5})?", host in "[a-z]{1,8}(-[a-z]{1,3})?", top in "(com|org|co\\.uk|cn)", before in "( |\\(|<|，|:)?", after in "( |\\)|>|。|,|\\. x)?") {
        prop_assert_eq!(clean(&format!("{before}{user}@{host}.{top}{after}")), format!("{before}<email>{after}"));
    }

    /// Whatever the text: what was scrubbed holds no more of the same, and the rest is as it was.
    #[test]
    fn scrubbing_twice_changes_nothing(text in "([a-z0-9@.:+()/ -]|://|sk-|password=|中){0,60}") {
        let once = clean(&text);
        prop_assert_eq!(clean(&once), once.clone());
    }
}
