//! The command line against the real world: Debian's registry, skopeo and umoci, a token server, a network that
//! fails. What a machine lacks is skipped, loudly (`testbed::tools::skip`).

mod archives;
mod auth;
mod by_tar;
mod cargo;
mod choices;
mod copies;
mod debian;
mod hostile;
mod interrupted;
mod makes;
mod offered;
mod peers;
mod platform;
mod schema1;
mod ship;
mod sources;
mod unpack;
mod view;
