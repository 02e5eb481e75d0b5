/* How libwebsockets treats connections on which nobody says anything: it leaves them alone. */
#ifndef MOLT_LINK_IDLE_H
#define MOLT_LINK_IDLE_H

#include <libwebsockets.h>

/* Left to itself libwebsockets pings a connection after 300 s and closes it 10 s later, answered or not,
 * since neither end serves it while it has nothing to say. A Unix socket tells by itself when its peer is
 * gone. No hangup means no timer; the ping's time is only there because a policy without one is not looked
 * at. */
static const lws_retry_bo_t link_idle_policy = { .secs_since_valid_ping = UINT16_MAX,
                                                 .secs_since_valid_hangup = 0 };

#endif
