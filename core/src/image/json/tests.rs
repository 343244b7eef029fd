use std::string::ToString;

use super::*;

fn parse_all(text: &str) -> Result<Value> {
    parse("manifest", text.as_bytes(), &Limits::default())
}

#[test]
fn values_are_what_serde_json_reads() {
    for text in [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e300",
        "18446744073709551615",
        "-9223372036854775808",
        r#""""#,
        r#""a\u00e9\n""#,
        "[]",
        "{}",
        r#"{"a": [1, {"b": null}], "c": "d"}"#,
        " [ 1 , 2 ] ",
    ] {
        assert_eq!(parse_all(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
    }
}

#[test]
fn the_position_of_a_mistake_is_its_byte() {
    for (text, byte) in [("{", 0), ("{\"a\" 1}", 5), ("{\n\n  x}", 5), ("[1,\r\n2,]", 7), ("{} x", 3)] {
        assert_eq!(parse_all(text).unwrap_err().place().byte, Some(byte), "{text:?}");
    }
}

#[test]
fn equal_keys_are_refused_however_they_are_spelled() {
    for text in [r#"{"a": 1, "a": 1}"#, r#"{"a": 1, "\u0061": 1}"#, r#"[{"x": {"": 1, "": 2}}]"#] {
        let error = parse_all(text).unwrap_err();
        assert!(error.to_string().contains("occurs twice in one object"), "{error}");
    }
    assert!(parse_all(r#"[{"a": 1}, {"a": 1, "A": 2}]"#).is_ok());
}

#[test]
fn keys_that_other_readers_fold_are_seen() {
    for (key, taken) in
        [("Size", true), ("SIZE", true), ("\u{17f}ize", true), ("sise", false), ("size ", false)]
    {
        let value = serde_json::json!({ key: 1 });
        let strict = Node::root("manifest", &value).strict_keys(&["size"]);
        assert_eq!(strict.is_err(), taken, "{key}");
    }
    let value = serde_json::json!({ "\u{212a}ey": 1 });
    assert!(Node::root("manifest", &value).strict_keys(&["key"]).is_err());
}
