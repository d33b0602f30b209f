//! Whether a web address is public, rather than one of this machine or its network.
//!
//! Otherwise a model that can fetch pages could be talked into calling services that trust this machine: those on its loopback
//! interface or its network, or the metadata service of a cloud, which hands out keys. Only addresses in plain form pass:
//! programs differ in how they read `http://0x7f.1`, `http://a@b` or `http:\\a`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use once_cell::sync::Lazy;
use regex::Regex;

/// Scheme, host and port. What follows does not matter here.
static PLAIN: Lazy<Option<Regex>> = Lazy::new(|| {
    Regex::new(
        r"^(?i:https?)://(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<name>[0-9A-Za-z._-]+))(?::(?<port>[0-9]{1,5}))?(?:[/?#]|$)",
    )
    .ok()
});

/// Endings of names that mean something only within a machine or a network.
const LOCAL: [&str; 9] =
    ["localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "lan", "home.arpa"];

/// Why the address may not be fetched; `None` if it is public. `resolve` looks up its name.
fn refusal(url: &str, resolve: impl FnOnce(&str) -> Vec<IpAddr>) -> Option<&'static str> {
    const LOCAL_ONLY: &str = "is on this machine or its network";
    const NOT_PLAIN: &str = "is not a plain address, such as https://example.com/page";
    let odd = |character: char| character.is_control() || character.is_whitespace() || character == '\\';
    if url.contains(odd) {
        return Some(NOT_PLAIN);
    }
    let Some(parts) = PLAIN.as_ref().and_then(|plain| plain.captures(url)) else { return Some(NOT_PLAIN) };
    if let Some(address) = parts.name("v6") {
        return match address.as_str().parse() {
            Ok(address) if is_public_v6(address) => None,
            Ok(_) => Some(LOCAL_ONLY),
            Err(_) => Some(NOT_PLAIN),
        };
    }
    let name = parts.name("name")?.as_str().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let last = name.rsplit('.').next().unwrap_or_default();
    // As browsers do: a host that ends in a number is a number, in whatever base and with however many parts.
    if last.starts_with(|digit: char| digit.is_ascii_digit()) {
        return match name.parse() {
            Ok(address) if is_public_v4(address) => None,
            Ok(_) => Some(LOCAL_ONLY),
            Err(_) => Some(NOT_PLAIN),
        };
    }
    if last.is_empty() || name.starts_with('.') || name.contains("..") {
        return Some(NOT_PLAIN);
    }
    let ends_in = |ending: &&str| name.strip_suffix(*ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if !name.contains('.') || LOCAL.iter().any(ends_in) {
        return Some(LOCAL_ONLY);
    }
    (!resolve(name).into_iter().all(is_public)).then_some(LOCAL_ONLY)
}

/// Why the address may not be fetched; `None` if it is public. Looks up its name, which may take a while.
///
/// A name that cannot be looked up passes: the CLI cannot look it up either, or goes through a proxy that can.
pub(crate) fn not_public(url: &str) -> Option<&'static str> {
    refusal(url, |name| {
        let found = (name, 443).to_socket_addrs();
        found.into_iter().flatten().map(|address| address.ip()).collect()
    })
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IANA's registry of special-purpose addresses, multicast, and reserved ones.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127 | 224..=255, ..] => true,
        [100, second, ..] => second & 0xc0 == 64,
        [169, 254, ..] | [192, 168, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [172, second, ..] => second & 0xf0 == 16,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    };
    // Azure's metadata service; nearly all others are at the link-local address above.
    !special && address != Ipv4Addr::new(168, 63, 129, 16)
}

/// Global unicast addresses that embed no other address and are not for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // IETF protocols and Teredo; 6to4.
        [0x2001, second, ..] if second < 0x200 => false,
        [0x2001, 0xdb8, ..] | [0x2002, ..] => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a name service that knows two names.
    fn judge(url: &str) -> Option<&'static str> {
        refusal(url, |name| match name {
            "inside.example.com" => vec![Ipv4Addr::new(93, 184, 216, 34).into(), Ipv4Addr::new(10, 0, 0, 1).into()],
            "inside6.example.com" => vec!["fd00::1".parse().unwrap()],
            "example.com" | "xn--bcher-kva.example" => {
                vec!["93.184.216.34".parse().unwrap(), "2606:4700::1".parse().unwrap()]
            }
            other => panic!("{other} was looked up"),
        })
    }

    #[test]
    fn what_everybody_can_reach_may_be_fetched() {
        for url in [
            "https://example.com",
            "http://example.com/",
            "HTTPS://EXAMPLE.com:8443/a?b=http://127.0.0.1/#c",
            "https://example.com./x",
            "https://example.com?x=@localhost",
            "https://example.com#/",
            "https://xn--bcher-kva.example/%20%2e%2e",
            "https://example.com/größe",
            "http://8.8.8.8/",
            "http://1.1.1.1:80",
            "http://[2606:4700:4700::1111]/",
            "http://[2606:4700:4700::1111]:443/",
        ] {
            assert_eq!(judge(url), None, "{url}");
        }
    }

    #[test]
    fn names_of_this_machine_and_its_network_may_not() {
        for url in [
            "http://localhost",
            "http://localhost:3456/v1/models",
            "http://LOCALHOST/",
            "http://localhost./",
            "http://a.localhost/",
            "http://localhost.localdomain/",
            "http://printer.local/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://metadata.google.internal./",
            "http://wiki.corp/",
            "http://nas.lan/",
            "http://router.home.arpa/",
            "http://a.intranet/",
            "http://a.private/",
            "http://metadata/",
            "https://intranet/",
            "http://inside.example.com/",
            "http://inside6.example.com/",
        ] {
            assert_eq!(judge(url), Some("is on this machine or its network"), "{url}");
        }
    }

    #[test]
    fn numbers_of_this_machine_and_its_network_may_not() {
        for host in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "127.0.0.1.",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001::1]",
            "[2001:1ff::1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[3fff::1]",
            "[3fff:fff::1]",
            "[5f00::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[1fff::1]",
            "[4000::1]",
        ] {
            assert_eq!(judge(&format!("http://{host}/")), Some("is on this machine or its network"), "{host}");
        }
        for host in [
            "1.0.0.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "168.63.129.17",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.0.3.1",
            "192.1.0.0",
            "192.88.98.1",
            "192.167.0.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "198.51.99.1",
            "203.0.112.1",
            "223.255.255.255",
            "[2001:200::1]",
            "[2001:db7::1]",
            "[2003::1]",
            "[3fff:1000::1]",
            "[3ffe::1]",
            "[2000::1]",
            "[3000::1]",
        ] {
            assert_eq!(judge(&format!("http://{host}/")), None, "{host}");
        }
    }

    #[test]
    fn what_is_not_written_plainly_may_not() {
        for url in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:1",
            "data:,x",
            "http:example.com",
            "http:/example.com",
            "http:///example.com",
            " http://example.com",
            "http://example.com ",
            "ht\ttp://example.com",
            "http://example.com/\n",
            "http://a b/",
            "http:\\\\localhost\\",
            "http://example.com\\@localhost/",
            "http://user@localhost/",
            "http://example.com@127.0.0.1/",
            "http://a:b@example.com/",
            "http://127.1/",
            "http://127.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://127.0.0.1.1/",
            "http://127.0.0.256/",
            "http://1.2.3.4.5/",
            "http://a.1/",
            "http://a.0x1/",
            "http://%6cocalhost/",
            "http://127%2e0.0.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://ⓛocalhost/",
            "http://bücher.example/",
            "http://[::1%25lo]/",
            "http://[::1",
            "http://[]/",
            "http://[1.2.3.4]/",
            "http://[12345::]/",
            "http://./",
            "http://../",
            "http://.example.com/",
            "http://example..com/",
            "http://example.com:123456/",
            "http://example.com:x/",
            "http://example.com:80:80/",
            "http://example.com..",
            "http://a,b.com/",
            "http://example.com:/",
            "http://example.com/a b",
            "http://example.com/a\u{a0}b",
            "http://example.com/a\u{0}b",
            "http://example.com/a\\b",
        ] {
            assert_eq!(judge(url), Some("is not a plain address, such as https://example.com/page"), "{url}");
        }
    }

    #[test]
    fn a_name_is_looked_up() {
        // Neither of these needs a network: the one is this machine's, the other nobody's (RFC 2606).
        assert_eq!(not_public("http://no-such-name.invalid/"), None);
        assert!(not_public("http://127.0.0.1/").is_some());
    }
}
