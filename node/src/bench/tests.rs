//! The body of the fan-out bench, small.

use super::*;

#[test]
fn a_fan_out_reaches_each_client_and_can_be_repeated() {
    let mut fan_out = FanOut::new(3, 4, &Codec::ALL).expect("names");
    let json = Bytes::from_static(br#"["bench/push",{"n":1}]"#);
    for _ in 0..3 {
        assert_eq!(fan_out.push("user1", &json).expect("an event"), 4);
        assert_eq!(fan_out.push("user2", &json).expect("an event"), 4);
        assert_eq!(fan_out.push("nobody", &json).expect("an event"), 0);
        assert_eq!(fan_out.drain(), 8);
    }
    assert_eq!(fan_out.drain(), 0);
}
