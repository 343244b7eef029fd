//! Where a request may go.

use alloc::string::String;
use core::net::IpAddr;

use crate::client::Reach;
use crate::error::Result;
use crate::http::{HostKind, Url};

/// Whether a request may go to a URL: `reach` is what its `start` said, `addresses` what the URL's host resolves to, as far
/// as the host knows it. What is no address counts for none.
///
/// # Errors
/// `invalid_url`.
pub fn reach_allows(reach: &str, url: &str, addresses: &[String]) -> Result<bool> {
    let reach = match reach {
        "any" => Reach::Any,
        _ => Reach::NoLoopbackOrLinkLocal,
    };
    let url: Url = url.parse()?;
    let address = |text: &String| text.parse::<IpAddr>().ok();
    let mut kinds = addresses.iter().filter_map(address).map(HostKind::of_ip);
    Ok(reach.allows(url.host_kind()) && kinds.all(|kind| reach.allows(kind)))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn what_a_server_names_is_nothing_local() {
        let far = "no_loopback_or_link_local";
        let allows = |reach, url, addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|&address| address.into()).collect();
            reach_allows(reach, url, &addresses).unwrap()
        };
        assert!(allows("any", "http://127.0.0.1/", &["127.0.0.1"]));
        assert!(allows(far, "https://cdn.test/blob", &["192.0.2.1", "2001:db8::1"]));
        for address in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1", "::ffff:127.0.0.1"]
        {
            assert!(!allows(far, "https://cdn.test/blob", &["192.0.2.1", address]), "{address}");
        }
        for url in ["http://localhost/", "http://127.1.2.3/", "http://[::1]:5000/", "http://169.254.169.254/"]
        {
            assert!(!allows(far, url, &[]), "{url}");
        }
        assert_eq!(reach_allows(far, "no url", &[]).unwrap_err().code(), "invalid_url");
    }
}
