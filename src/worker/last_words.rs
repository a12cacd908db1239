//! What the end of a dead worker's standard error says of its end.

/// Whether it says that memory ran out, and has died in the way that goes with saying so. Words alone prove nothing:
/// anybody may print them, and die of something else an hour later.
pub fn say_out_of_memory(stderr: &str, code: Option<i32>, signal: Option<i32>) -> bool {
    // A shell in between passes a signal on as 128 and its number.
    let signal = signal.or(code.filter(|code| *code > 128).map(|code| code - 128));
    match (signal, code) {
        // V8 gives up with a trap or an abort, C++ and Rust with an abort.
        (Some(libc::SIGABRT | libc::SIGTRAP | libc::SIGILL), _) => stderr.lines().any(is_abort_for_memory),
        // Go; and an exception that nobody catches, which Python prints as its very last line.
        (None, Some(2)) if stderr.lines().any(|line| line == "fatal error: runtime: out of memory") => true,
        (None, Some(1)) => {
            let last = stderr.lines().map(str::trim_end).rfind(|line| !line.is_empty());
            last.is_some_and(|line| line == "MemoryError" || line.starts_with("MemoryError:"))
        }
        _ => false,
    }
}

fn is_abort_for_memory(line: &str) -> bool {
    let line = line.trim_end();
    // Behind whatever stood on the line before.
    let v8 = line.find("FATAL ERROR: ").is_some_and(|at| line[at..].ends_with("out of memory"));
    v8 || line.starts_with("# Fatal process out of memory")
        || line.starts_with("# Fatal JavaScript out of memory")
        || line == "terminate called after throwing an instance of 'std::bad_alloc'"
        || (line.starts_with("memory allocation of ") && line.ends_with(" bytes failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V8: &str = "\n<--- Last few GCs --->\n\n[1:0x1] 90 ms: Mark-Compact 30.1 (32.4) MB\n\n\
                      FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n\
                      ----- Native stack trace -----\n\n 1: 0xb9c310 node::OOMErrorHandler\n";

    #[test]
    fn v8_says_so_and_aborts() {
        for signal in [libc::SIGABRT, libc::SIGTRAP, libc::SIGILL] {
            assert!(say_out_of_memory(V8, None, Some(signal)));
        }
        assert!(say_out_of_memory(V8, Some(134), None), "by way of a shell");
        assert!(say_out_of_memory("#\n# Fatal process out of memory: Zone\n#\n", None, Some(libc::SIGTRAP)));
        let behind = "half a line FATAL ERROR: Zone Allocation failed - process out of memory\n";
        assert!(say_out_of_memory(behind, None, Some(libc::SIGABRT)));
    }

    #[test]
    fn other_languages() {
        let abort = Some(libc::SIGABRT);
        let cpp = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n";
        assert!(say_out_of_memory(cpp, None, abort));
        assert!(say_out_of_memory("memory allocation of 8589934592 bytes failed\n", None, abort));
        assert!(say_out_of_memory("fatal error: runtime: out of memory\n\ngoroutine 1:\n", Some(2), None));
        let python = "Traceback (most recent call last):\n  File \"w.py\", line 3\nMemoryError\n\n";
        assert!(say_out_of_memory(python, Some(1), None));
        assert!(say_out_of_memory("MemoryError: cannot allocate 4 GiB", Some(1), None));
    }

    #[test]
    fn words_alone_prove_nothing() {
        for (code, signal) in
            [(Some(0), None), (Some(1), None), (None, Some(libc::SIGKILL)), (None, Some(libc::SIGSEGV))]
        {
            assert!(!say_out_of_memory(V8, code, signal), "{code:?} {signal:?}");
        }
        let abort = Some(libc::SIGABRT);
        assert!(!say_out_of_memory("out of memory\nheap out of memory\nMemoryError\n", None, abort));
        assert!(!say_out_of_memory("FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal\nout of memory\n", None, abort));
        assert!(!say_out_of_memory("MemoryError\nValueError: later\n", Some(1), None));
        assert!(!say_out_of_memory("MemoryErrors: 3\n", Some(1), None));
        assert!(!say_out_of_memory("", None, None));
    }
}
