//! Hosts of URLs, and what is known of where they lead.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a host leads, as far as its name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostKind {
    /// This machine: 127/8, `::1`, the unspecified addresses (connecting to them reaches this machine), `localhost` and the
    /// names below it (RFC 6761 §6.3).
    Loopback,
    /// Addresses good on one link only, 169.254/16 and fe80::/10, which clouds use for their metadata services; and those
    /// services' other addresses and names (fd00:ec2::254, 100.100.100.200, `metadata.google.internal`).
    LinkLocal,
    /// A private network: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7, fec0::/10.
    PrivateUse,
    /// Anything else, names included: only resolving tells where a name leads.
    Other,
}

impl HostKind {
    /// Of an address, as a connector that has resolved a name should ask. IPv4 inside IPv6 (mapped, compatible, NAT64
    /// 64:ff9b::/96, 6to4) counts as what it holds.
    pub fn of_ip(ip: IpAddr) -> HostKind {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> HostKind {
        match ip.octets() {
            [0 | 127, ..] => HostKind::Loopback,
            [169, 254, ..] | [100, 100, 100, 200] => HostKind::LinkLocal,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => HostKind::PrivateUse,
            _ => HostKind::Other,
        }
    }

    fn of_v6(ip: Ipv6Addr) -> HostKind {
        let v4 = |high: u16, low: u16| {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match ip.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => HostKind::Loopback,
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
            [0, 0, 0, 0, 0xffff, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
            [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfe80..=0xfebf, ..] => HostKind::LinkLocal,
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => HostKind::PrivateUse,
            _ => HostKind::Other,
        }
    }
}

/// Names that the usual hosts files give to this machine, beside `localhost` and what is below it.
const LOOPBACK_NAMES: &[&str] = &["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"];
const METADATA_NAMES: &[&str] = &["metadata.google.internal", "metadata.goog"];

/// Of a host as [`parse`] gives it.
pub(super) fn kind(host: &str) -> HostKind {
    if let Some(ip) = ip(host) {
        return HostKind::of_ip(ip);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if LOOPBACK_NAMES.contains(&name) || name.ends_with(".localhost") {
        HostKind::Loopback
    } else if METADATA_NAMES.contains(&name) {
        HostKind::LinkLocal
    } else {
        HostKind::Other
    }
}

/// The address that a host is, as [`parse`] gives it.
pub(super) fn ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => literal.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// Normalises a host: lower case, IPv6 in brackets as RFC 5952 writes it, IPv4 in four decimal numbers, also where it
/// comes as one to four decimal, octal or hexadecimal ones, as clients by the WHATWG URL standard take it.
pub(super) fn parse(host: &str) -> Result<String, &'static str> {
    if let Some(rest) = host.strip_prefix('[') {
        let literal = rest.strip_suffix(']').ok_or("the IPv6 address has no `]`")?;
        if literal.contains('%') {
            return Err("an IPv6 address with a zone is refused");
        }
        let ip: Ipv6Addr = literal.parse().map_err(|_| "the IPv6 address is malformed")?;
        return Ok(format!("[{ip}]"));
    }
    if host.is_empty() {
        return Err("it has no host");
    }
    if host.len() > 254 {
        return Err("the host is longer than 254 characters");
    }
    if !host.is_ascii() {
        return Err("the host is not ASCII; an international name goes in its `xn--` form");
    }
    if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        return Err("the host has a character that no host has");
    }
    if host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty) {
        return Err("the host has an empty label");
    }
    let host = host.to_ascii_lowercase();
    match ipv4(&host)? {
        Some(ip) => Ok(ip.to_string()),
        None => Ok(host),
    }
}

/// WHATWG URL, "ends in a number checker" and "IPv4 parser"; `None` if the host is a name.
fn ipv4(host: &str) -> Result<Option<Ipv4Addr>, &'static str> {
    const BAD: &str = "the host ends in a number and is no IPv4 address";
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    if !last.bytes().all(|b| b.is_ascii_digit()) && number(last).is_none() {
        return Ok(None);
    }
    let mut ip: u64 = 0;
    let mut parts = 0;
    let mut labels = host.split('.').peekable();
    while let Some(label) = labels.next() {
        let value = number(label).ok_or(BAD)?;
        parts += 1;
        if labels.peek().is_some() {
            if value > 255 || parts > 3 {
                return Err(BAD);
            }
            ip = ip << 8 | value;
        } else {
            let bits = 8 * (5 - parts);
            if value >> bits != 0 {
                return Err(BAD);
            }
            ip = ip << bits | value;
        }
    }
    u32::try_from(ip).map(|ip| Some(Ipv4Addr::from(ip))).map_err(|_| BAD)
}

/// A decimal, octal (`0…`) or hexadecimal (`0x…`, also without digits) number.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text.get(1..)?, 8),
        _ => (text, 10),
    };
    match digits {
        "" if radix == 16 => Some(0),
        _ if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) => None,
        _ => u64::from_str_radix(digits, radix).ok(),
    }
}
