//! The readers against this very process.

use super::*;

#[test]
fn a_field_is_read_in_kib_and_a_missing_one_is_none() {
    let text = "Name:\tx\nVmRSS:\t    1234 kB\n";
    assert_eq!(field(text, "VmRSS:"), Some(1234));
    assert_eq!(field(text, "Rss:"), None);
}

#[test]
fn touching_memory_shows_in_the_resident_size() {
    let pid = std::process::id();
    let before = resident_bytes(pid).unwrap();
    let block = vec![1_u8; 64 << 20];
    let after = resident_bytes(pid).unwrap();
    assert!(after > before + (48 << 20), "{before} → {after}");
    drop(block);
}

#[test]
fn working_shows_in_the_processor_time() {
    let pid = std::process::id();
    let before = cpu_time(pid).unwrap();
    let begin = std::time::Instant::now();
    let mut sum = 0_u64;
    while cpu_time(pid).unwrap() < before + Duration::from_millis(50) {
        sum = std::hint::black_box(sum.wrapping_add(1));
        assert!(begin.elapsed() < Duration::from_secs(30), "no time passed");
    }
}

#[test]
fn a_process_that_does_not_exist_is_an_error() {
    assert!(resident_bytes(u32::MAX).is_err());
    assert!(cpu_time(u32::MAX).is_err());
}
