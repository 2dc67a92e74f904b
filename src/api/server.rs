//! The two listeners: how they are set up, and how they end.

use std::{io, net::SocketAddr, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    middleware::from_fn,
    web,
};
use futures_util::FutureExt;
use tokio::time::timeout;

use super::{
    Services, routes,
    shape::{self, Rules},
};
use crate::runtime::{Phase, Stop};

/// How long an idle connection is kept; longer than the 60 seconds that common proxies keep theirs, so that a proxy never
/// sends a request into a connection that is being closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long actix waits for the last bytes to go out once every stream was told to end.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Both servers, bound and accepting. Nothing is answered until [`Servers::run`] is polled.
pub struct Servers {
    /// Where the public listener is bound.
    pub public_address: SocketAddr,
    /// Where the listener for operators and admins is bound.
    pub admin_address: SocketAddr,
    public: Server,
    admin: Server,
    drain: Drain,
}

/// How the servers end.
struct Drain {
    stop: Stop,
    grace: Duration,
    limit: Duration,
}

/// Binds both listeners and starts their workers; port 0 takes a free port. Must be called inside a tokio runtime.
///
/// # Errors
/// An address cannot be bound.
pub fn bind(services: Services) -> io::Result<Servers> {
    let drain =
        Drain { stop: services.stop.clone(), grace: services.server.drain_grace, limit: services.server.drain_timeout };
    let services = web::Data::new(services);
    let (public, public_address) = start(&services, services.server.listen, services.server.workers, routes::public)?;
    let (admin, admin_address) = start(&services, services.admin.listen, 1, routes::private)?;
    Ok(Servers { public_address, admin_address, public, admin, drain })
}

fn start(
    services: &web::Data<Services>,
    address: SocketAddr,
    workers: usize,
    routes: fn(&mut web::ServiceConfig),
) -> io::Result<(Server, SocketAddr)> {
    let limit = services.server.drain_timeout + LAST_BYTES;
    let rules = Rules { header_bytes: services.server.limits.header_bytes, stop: services.stop.clone() };
    let services = services.clone();
    let app = move || {
        let rules = rules.clone();
        App::new()
            .app_data(services.clone())
            .wrap(from_fn(move |request, next| shape::shape(rules.clone(), request, next)))
            .configure(routes)
            .default_service(web::to(shape::not_found))
    };
    let server = HttpServer::new(app)
        .workers(workers.max(1))
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        // A client that has closed its side is gone; otherwise a silent handler would run on for nobody.
        .h1_allow_half_closed(false)
        .shutdown_timeout(limit.as_secs().max(1))
        .disable_signals()
        .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

impl Servers {
    /// Serves until the program ends: once [`Phase::Draining`] is reached, requests are still taken for the grace time; then
    /// the public listener closes and running requests go on up to the drain limit; then [`Phase::Ending`] ends the rest.
    ///
    /// # Errors
    /// A server failed.
    pub async fn run(self) -> io::Result<()> {
        let ending = self.drain.run(self.public.handle(), self.admin.handle());
        tokio::try_join!(self.public, self.admin, ending.map(Ok))?;
        Ok(())
    }
}

impl Drain {
    async fn run(&self, public: ServerHandle, admin: ServerHandle) {
        self.stop.reached(Phase::Draining).await;
        self.wait(self.grace).await;
        let closing = public.stop(true);
        tokio::pin!(closing);
        tokio::select! {
            () = &mut closing => {}
            () = self.wait(self.limit) => {
                self.stop.advance(Phase::Ending);
                closing.await;
            }
        }
        self.stop.advance(Phase::Ending);
        admin.stop(false).await;
    }

    /// Waits for `time`, or for a second signal to end at once.
    async fn wait(&self, time: Duration) {
        // Both outcomes mean that the time is over.
        let _is_over = timeout(time, self.stop.reached(Phase::Ending)).await;
    }
}
