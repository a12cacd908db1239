//! Reads JSON (RFC 8259) a second time, by the grammar, without recursion and without a tree.

/// Returns the end of the value that begins at `at`. White space before it is not part of it.
pub fn value_end(text: &[u8], mut at: usize) -> Option<usize> {
    // The characters that must close what is open.
    let mut open = Vec::new();
    loop {
        // A value begins here.
        match *text.get(at)? {
            first @ (b'{' | b'[') => {
                let close = first + 2;
                at = skip_space(text, at + 1);
                if text.get(at) == Some(&close) {
                    at += 1;
                } else {
                    open.push(close);
                    if close == b'}' {
                        at = key(text, at)?;
                    }
                    continue;
                }
            }
            b'"' => at = string_end(text, at)?,
            b'-' | b'0'..=b'9' => at = number_end(text, at)?,
            _ => {
                let word = [&b"true"[..], b"false", b"null"]
                    .into_iter()
                    .find(|word| text[at..].starts_with(word))?;
                at += word.len();
            }
        }
        // A value has ended here.
        loop {
            let Some(&close) = open.last() else { return Some(at) };
            at = skip_space(text, at);
            match *text.get(at)? {
                b',' => {
                    at = skip_space(text, at + 1);
                    if close == b'}' {
                        at = key(text, at)?;
                    }
                    break;
                }
                end if end == close => {
                    open.pop();
                    at += 1;
                }
                _ => return None,
            }
        }
    }
}

/// Returns the position behind `"key" :` and white space.
fn key(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let at = skip_space(text, string_end(text, at)?);
    (text.get(at) == Some(&b':')).then(|| skip_space(text, at + 1))
}

/// Returns the position of the first byte from `at` on that is no whitespace of JSON.
pub fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match *text.get(at + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' => {
                    let digits = text.get(at + 2..at + 6)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    at += 6;
                }
                _ => return None,
            },
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

fn digits(text: &[u8], mut at: usize) -> Option<usize> {
    let from = at;
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    (at > from).then_some(at)
}

fn number_end(text: &[u8], mut at: usize) -> Option<usize> {
    if text[at] == b'-' {
        at += 1;
    }
    let from = at;
    at = digits(text, at)?;
    if text[from] == b'0' && at > from + 1 {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Some(at)
}

/// Returns whether `text` is one value and nothing else, not even white space.
pub fn is_value(text: &[u8]) -> bool {
    value_end(text, 0) == Some(text.len())
}

/// Returns the elements of an array, as text. `None`: `text`, which is one value, is no array.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    if !is_value(bytes) || bytes[0] != b'[' {
        return None;
    }
    let mut elements = Vec::new();
    let mut at = skip_space(bytes, 1);
    while bytes[at] != b']' {
        let end = value_end(bytes, at)?;
        elements.push(&text[at..end]);
        at = skip_space(bytes, end);
        if bytes[at] == b',' {
            at = skip_space(bytes, at + 1);
        }
    }
    Some(elements)
}

/// Returns the members of an object, as text, keys with their quotes. `None`: `text` is no object.
/// White space may be around it.
pub fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let bytes = text.as_bytes();
    if !is_value(bytes) || bytes[0] != b'{' {
        return None;
    }
    let mut members = Vec::new();
    let mut at = skip_space(bytes, 1);
    while bytes[at] != b'}' {
        let name = &text[at..string_end(bytes, at)?];
        at = key(bytes, at)?;
        let end = value_end(bytes, at)?;
        members.push((name, &text[at..end]));
        at = skip_space(bytes, end);
        if bytes[at] == b',' {
            at = skip_space(bytes, at + 1);
        }
    }
    Some(members)
}

/// Returns the content of a string. `None`: `text` is no string, or holds half a surrogate pair.
pub fn string(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut units: Vec<u16> = Vec::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            units.extend(char.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        units.push(match chars.next()? {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => u16::from_str_radix(chars.as_str().get(..4)?, 16).ok().inspect(|_| {
                chars.nth(3);
            })?,
            other => other as u16,
        });
    }
    String::from_utf16(&units).ok()
}
