//! The IPv6 slots' route: a /64 that `lo` answers for.
//!
//! 127.0.0.0/8 is local on every host; IPv6 has no such block, so one is routed. Each instance has
//! a prefix of its own, named after its door's port, which no other instance of the namespace can
//! hold at the same time: a prefix whose port nobody listens on was left by a killed instance.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, TcpListener},
};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Handle, RouteMessageBuilder, new_connection,
    packet_route::route::{
        RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
    },
};

/// `fd64:6973:7061::/48`, "dispa" in a unique local prefix (RFC 4193).
const PREFIX48: [u16; 3] = [0xfd64, 0x6973, 0x7061];

/// `rtm_protocol` of our routes, in the range rtnetlink(7) leaves to users.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(0xd1);

/// Interface number of `lo`, 1 in every network namespace (`LOOPBACK_IFINDEX`, include/net/flow.h).
const LOOPBACK: u32 = 1;

/// The table of addresses that are this host's own (`RT_TABLE_LOCAL`, rtnetlink(7)).
const TABLE_LOCAL: u32 = 255;

/// The /64 of the slots whose door listens on `port`.
#[must_use]
pub fn slot_prefix(port: u16) -> Ipv6Addr {
    let [a, b, c] = PREFIX48;
    Ipv6Addr::new(a, b, c, port, 0, 0, 0, 0)
}

/// Why there is no route for IPv6 slots.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// No netlink socket.
    #[error("cannot speak to the kernel's routing: {0}")]
    Netlink(#[from] io::Error),
    /// The kernel refused.
    #[error("the kernel refused the route for IPv6 slots: {0}")]
    Refused(#[from] rtnetlink::Error),
}

/// A route of ours, there until [`SlotRoute::remove`].
#[derive(Debug)]
pub struct SlotRoute {
    prefix: Ipv6Addr,
}

impl SlotRoute {
    /// Routes the prefix of `port` to `lo`, and removes what killed instances left.
    pub async fn add(port: u16) -> Result<Self, RouteError> {
        let handle = connect()?;
        remove_stale_by(&handle).await?;
        let prefix = slot_prefix(port);
        handle.route().add(message(prefix)).execute().await?;
        Ok(Self { prefix })
    }

    /// Removes the routes that killed instances left; their prefixes.
    pub async fn remove_stale() -> Result<Vec<Ipv6Addr>, RouteError> {
        remove_stale_by(&connect()?).await
    }

    /// Removes the route.
    pub async fn remove(self) -> Result<(), RouteError> {
        remove(&connect()?, self.prefix).await
    }
}

/// A netlink handle whose connection runs as a task of the present runtime.
fn connect() -> Result<Handle, RouteError> {
    let (connection, handle, _) = new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn remove(handle: &Handle, prefix: Ipv6Addr) -> Result<(), RouteError> {
    Ok(handle.route().del(message(prefix)).execute().await?)
}

async fn remove_stale_by(handle: &Handle) -> Result<Vec<Ipv6Addr>, RouteError> {
    let query = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let routes: Vec<RouteMessage> = handle.route().get(query).execute().try_collect().await?;
    let mut removed = Vec::new();
    for prefix in routes.iter().filter_map(prefix_of_ours) {
        // Another instance starting now may remove it first.
        if nobody_listens(prefix.segments()[3]) && remove(handle, prefix).await.is_ok() {
            removed.push(prefix);
        }
    }
    Ok(removed)
}

/// Whether no transparent door holds `port`: then it can be bound, in the same way, by us.
fn nobody_listens(port: u16) -> bool {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).is_ok()
}

fn prefix_of_ours(route: &RouteMessage) -> Option<Ipv6Addr> {
    if route.header.protocol != PROTOCOL {
        return None;
    }
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet6(prefix))
            if prefix.segments()[..3] == PREFIX48 =>
        {
            Some(*prefix)
        }
        _ => None,
    })
}

fn message(prefix: Ipv6Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(prefix, 64)
        .output_interface(LOOPBACK)
        .table_id(TABLE_LOCAL)
        .kind(RouteType::Local)
        .scope(RouteScope::Universe)
        .protocol(PROTOCOL)
        .build()
}
