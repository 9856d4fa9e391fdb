/*
 * sink: an SMTP submission server that accepts every message and keeps none, to measure clients with.
 *
 * One thread per connection, replies of one batch in one write, so that it is faster than every client it serves.
 * It speaks EHLO, STARTTLS or implicit TLS (with session tickets), AUTH XOAUTH2, PLAIN and LOGIN (the secret is
 * checked), PIPELINING, 8BITMIME, SMTPUTF8, SIZE and CHUNKING.
 *
 * It prints "port N" on standard output, then obeys lines on standard input:
 *   counters        prints what was counted, as one line of JSON
 *   reset           sets the counters to zero
 *   delay MICROS    every later reply leaves so long after the command it answers came in: distance, as a model
 * It ends when standard input does, so it never outlives its parent.
 *
 * Must stay true: a message is counted once, after its last octet and before its reply; nothing is counted that the
 * dialogue does not allow (no MAIL without AUTH, no RCPT without MAIL, no content without RCPT).
 *
 * usage: sink -s SECRET [-k KEY.pem -c CERT.pem] [-m starttls|tls|plain]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { INPUT = 256 * 1024, OUTPUT = 64 * 1024, LINE = 8 * 1024, WAITING = 256 };
enum mode { STARTTLS, IMPLICIT, PLAIN };

/* Replies that leave together, and when. */
struct batch {
    double due;
    size_t end;
};

struct session {
    int fd;
    SSL *ssl;
    char *input;
    size_t at, end; /* what has been read and not yet used is input[at..end) */
    char output[OUTPUT];
    size_t queued;    /* octets of replies in output */
    size_t scheduled; /* of these, octets that belong to a batch */
    struct batch batches[WAITING];
    size_t first_batch, batch_count;
    int authenticated, sender, recipients, content; /* content: a BDAT chunk has been taken */
};

static SSL_CTX *context;
static enum mode mode = STARTTLS;
static const char *secret = "";
static atomic_long delay_micros;
static atomic_ullong messages, recipients_taken, octets, connections, resumed, refused, reads, writes;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --- octets out ------------------------------------------------------------------------------------------------ */

static int write_all(struct session *s, const char *data, size_t size) {
    while (size > 0) {
        size_t done = 0;
        if (s->ssl) {
            if (SSL_write_ex(s->ssl, data, size, &done) != 1) return 0;
        } else {
            ssize_t sent = send(s->fd, data, size, MSG_NOSIGNAL);
            if (sent <= 0) return 0;
            done = (size_t)sent;
        }
        atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed);
        data += done;
        size -= done;
    }
    return 1;
}

static int reply(struct session *s, const char *text) {
    size_t size = strlen(text);
    if (s->queued + size > OUTPUT) return 0; /* a client that reads nothing */
    memcpy(s->output + s->queued, text, size);
    s->queued += size;
    if (text[0] >= '4') atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    return 1;
}

/* Send the replies that are due; give the seconds until the next batch is, 0 when none waits, -1 when broken. */
static double send_due(struct session *s) {
    long micros = atomic_load_explicit(&delay_micros, memory_order_relaxed);
    if (micros == 0 && s->batch_count == 0) {
        if (s->queued > 0 && !write_all(s, s->output, s->queued)) return -1;
        s->queued = 0;
        return 0;
    }
    if (s->queued > s->scheduled) {
        if (s->batch_count == WAITING) return -1;
        struct batch *batch = &s->batches[(s->first_batch + s->batch_count++) % WAITING];
        batch->due = now() + (double)micros / 1e6;
        batch->end = s->queued;
        s->scheduled = s->queued;
    }
    while (s->batch_count > 0) {
        struct batch *batch = &s->batches[s->first_batch];
        double rest = batch->due - now();
        if (rest > 0) return rest;
        size_t end = batch->end;
        if (!write_all(s, s->output, end)) return -1;
        memmove(s->output, s->output + end, s->queued - end);
        s->queued -= end;
        s->scheduled -= end;
        s->first_batch = (s->first_batch + 1) % WAITING;
        s->batch_count--;
        for (size_t i = 0; i < s->batch_count; i++) s->batches[(s->first_batch + i) % WAITING].end -= end;
    }
    return 0;
}

static int wait_readable(struct session *s, double seconds) {
    struct pollfd wait = {.fd = s->fd, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    return ppoll(&wait, 1, &time, NULL);
}

/* Send every reply, however late it is due; for what must be out before the next thing happens. */
static int drain(struct session *s) {
    double rest;
    while ((rest = send_due(s)) > 0) usleep((useconds_t)(rest * 1e6) + 1);
    return rest == 0;
}

/* --- octets in ------------------------------------------------------------------------------------------------- */

/* Read more; first send what is due, unless more input is already here. Gives 0 at the end. */
static int more(struct session *s) {
    if (s->at == s->end) s->at = s->end = 0;
    if (s->end == INPUT) {
        if (s->at == 0) return 0;
        memmove(s->input, s->input + s->at, s->end - s->at);
        s->end -= s->at;
        s->at = 0;
    }
    if (!(s->ssl && SSL_has_pending(s->ssl))) {
        double rest;
        while ((rest = send_due(s)) > 0)
            if (wait_readable(s, rest) > 0) break;
        if (rest < 0) return 0;
    }
    size_t got = 0;
    if (s->ssl) {
        if (SSL_read_ex(s->ssl, s->input + s->end, INPUT - s->end, &got) != 1) return 0;
    } else {
        ssize_t size = recv(s->fd, s->input + s->end, INPUT - s->end, 0);
        if (size <= 0) return 0;
        got = (size_t)size;
    }
    atomic_fetch_add_explicit(&reads, 1, memory_order_relaxed);
    s->end += got;
    return 1;
}

/* Give the next line without its end as a string in the input, or NULL. */
static char *next_line(struct session *s) {
    size_t seen = 0;
    for (;;) {
        char *start = s->input + s->at;
        char *feed = memchr(start + seen, '\n', s->end - s->at - seen);
        if (feed) {
            s->at = (size_t)(feed + 1 - s->input);
            *feed = '\0';
            if (feed > start && feed[-1] == '\r') feed[-1] = '\0';
            return start;
        }
        seen = s->end - s->at;
        if (seen > LINE || !more(s)) return NULL;
    }
}

static int skip(struct session *s, unsigned long long size) {
    while (size > 0) {
        if (s->at == s->end && !more(s)) return 0;
        unsigned long long here = s->end - s->at;
        if (here > size) here = size;
        s->at += here;
        size -= here;
    }
    return 1;
}

/* Pass over the text up to and with the line that holds a dot alone; count its octets as they came. */
static int skip_text(struct session *s, unsigned long long *size) {
    size_t seen = 0; /* octets after `at` that hold no end */
    *size = 0;
    for (;;) {
        char *start = s->input + s->at, *stop = s->input + s->end, *dot = start + seen;
        while (dot < stop && (dot = memchr(dot, '.', (size_t)(stop - dot))) && stop - dot >= 3) {
            int begins = (*size == 0 && dot == start) || (dot - start >= 2 && memcmp(dot - 2, "\r\n", 2) == 0);
            if (begins && memcmp(dot + 1, "\r\n", 2) == 0) {
                *size += (unsigned long long)(dot - start);
                s->at = (size_t)(dot + 3 - s->input);
                return 1;
            }
            dot++;
        }
        size_t have = s->end - s->at, keep = have < 4 ? have : 4;
        *size += have - keep;
        s->at = s->end - keep;
        seen = keep > 2 ? 2 : 0;
        if (!more(s)) return 0;
    }
}

/* --- the dialogue ---------------------------------------------------------------------------------------------- */

static int secure(struct session *s) {
    s->ssl = SSL_new(context);
    if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1 || SSL_accept(s->ssl) != 1) return 0;
    if (SSL_session_reused(s->ssl)) atomic_fetch_add(&resumed, 1);
    s->at = s->end = 0; /* RFC 3207: what came before the handshake is forgotten */
    s->authenticated = s->sender = s->recipients = s->content = 0;
    return 1;
}

static int greet(struct session *s) {
    char text[512];
    int may_sign_in = s->ssl || mode == PLAIN;
    snprintf(text, sizeof text, "250-sink\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n%s250 CHUNKING\r\n",
             may_sign_in ? "250-AUTH XOAUTH2 PLAIN LOGIN\r\n" : "250-STARTTLS\r\n");
    return reply(s, text);
}

/* Decode base64 in place; gives the size, or -1. NULs inside are kept, one is added. */
static int decode(char *text, unsigned char *into, size_t room) {
    size_t size = strlen(text);
    if (size == 0 || size % 4 != 0 || size / 4 * 3 >= room) return -1;
    int got = EVP_DecodeBlock(into, (unsigned char *)text, (int)size);
    if (got < 0) return -1;
    got -= (text[size - 1] == '=') + (text[size - 2] == '=');
    into[got] = '\0';
    return got;
}

static int holds_secret(const unsigned char *data, int size, const char *before, const char *after) {
    char want[4096];
    int length = snprintf(want, sizeof want, "%s%s%s", before, secret, after);
    return length < (int)sizeof want && size >= length && memcmp(data + size - length, want, (size_t)length) == 0;
}

static int authenticate(struct session *s, char *line) {
    unsigned char data[LINE];
    char *mechanism = line + 5, *initial = strchr(mechanism, ' ');
    if (initial) *initial++ = '\0';
    int login = strcasecmp(mechanism, "LOGIN") == 0, oauth = strcasecmp(mechanism, "XOAUTH2") == 0;
    if (!login && !oauth && strcasecmp(mechanism, "PLAIN") != 0) return reply(s, "504 5.5.4 mechanism\r\n");
    if (!initial) {
        if (!reply(s, login ? "334 VXNlcm5hbWU6\r\n" : "334 \r\n") || !(initial = next_line(s))) return 0;
    }
    if (login && (!reply(s, "334 UGFzc3dvcmQ6\r\n") || !(initial = next_line(s)))) return 0;
    int size = decode(initial, data, sizeof data);
    const char *before = oauth ? "\001auth=Bearer " : "", *after = oauth ? "\001\001" : "";
    if (size < 0 || !holds_secret(data, size, before, after)) return reply(s, "535 5.7.3 not accepted\r\n");
    s->authenticated = 1;
    return reply(s, "235 2.7.0 ok\r\n");
}

static int taken(struct session *s) {
    atomic_fetch_add_explicit(&messages, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&recipients_taken, (unsigned)s->recipients, memory_order_relaxed);
    s->sender = s->recipients = s->content = 0;
    return reply(s, "250 2.0.0 taken\r\n");
}

static int take_chunk(struct session *s, const char *line) {
    char *rest;
    unsigned long long size = strtoull(line + 5, &rest, 10);
    int last = strcasecmp(rest, " LAST") == 0; /* before reading on: the line is in the input */
    if (!skip(s, size)) return 0; /* RFC 3030: the octets follow even when the command is refused */
    if (s->recipients == 0) return reply(s, "503 5.5.1 no recipient\r\n");
    atomic_fetch_add_explicit(&octets, size, memory_order_relaxed);
    s->content = 1;
    return last ? taken(s) : reply(s, "250 2.0.0 go on\r\n");
}

static int take_text(struct session *s) {
    unsigned long long size;
    if (s->recipients == 0 || s->content) return reply(s, "503 5.5.1 no recipient\r\n");
    if (!reply(s, "354 go on\r\n") || !skip_text(s, &size)) return 0;
    atomic_fetch_add_explicit(&octets, size, memory_order_relaxed);
    return taken(s);
}

/* Carry one command out. Gives 0 when the session is over. */
static int obey(struct session *s, char *line) {
    if (strncasecmp(line, "EHLO ", 5) == 0 || strncasecmp(line, "HELO ", 5) == 0) return greet(s);
    if (strcasecmp(line, "STARTTLS") == 0 && mode == STARTTLS && !s->ssl)
        return reply(s, "220 2.0.0 go on\r\n") && drain(s) && secure(s);
    if (strncasecmp(line, "AUTH ", 5) == 0 && (s->ssl || mode == PLAIN)) return authenticate(s, line);
    if (strcasecmp(line, "QUIT") == 0) return reply(s, "221 2.0.0 bye\r\n") && drain(s) && 0;
    if (strcasecmp(line, "NOOP") == 0) return reply(s, "250 2.0.0 ok\r\n");
    if (strcasecmp(line, "RSET") == 0) {
        s->sender = s->recipients = s->content = 0;
        return reply(s, "250 2.0.0 ok\r\n");
    }
    if (strncasecmp(line, "BDAT ", 5) == 0) return take_chunk(s, line);
    if (!s->authenticated) return reply(s, "530 5.7.0 sign in first\r\n");
    if (strncasecmp(line, "MAIL FROM:<", 11) == 0) {
        if (s->sender) return reply(s, "503 5.5.1 nested\r\n");
        s->sender = 1;
        return reply(s, "250 2.1.0 ok\r\n");
    }
    if (strncasecmp(line, "RCPT TO:<", 9) == 0) {
        if (!s->sender) return reply(s, "503 5.5.1 no sender\r\n");
        s->recipients++;
        return reply(s, "250 2.1.5 ok\r\n");
    }
    if (strcasecmp(line, "DATA") == 0) return take_text(s);
    return reply(s, "500 5.5.2 unknown\r\n");
}

static void *serve(void *argument) {
    struct session *s = argument;
    char *line;
    atomic_fetch_add(&connections, 1);
    if ((mode != IMPLICIT || secure(s)) && reply(s, "220 sink\r\n"))
        while ((line = next_line(s)) && obey(s, line)) continue;
    if (s->ssl) SSL_free(s->ssl);
    close(s->fd);
    free(s->input);
    free(s);
    return NULL;
}

/* --- the process ----------------------------------------------------------------------------------------------- */

static void die(const char *what) {
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void start_session(int listener) {
    int on = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct session *s = calloc(1, sizeof *s);
    if (!s || !(s->input = malloc(INPUT))) die("memory");
    s->fd = fd;
    pthread_t thread;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, serve, s) != 0) die("thread");
    pthread_attr_destroy(&detached);
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static void print_counters(double spent) {
    printf("{\"messages\": %llu, \"recipients\": %llu, \"octets\": %llu, \"connections\": %llu, \"resumed\": %llu, "
           "\"refused\": %llu, \"reads\": %llu, \"writes\": %llu, \"cpu\": %.6f}\n",
           atomic_load(&messages), atomic_load(&recipients_taken), atomic_load(&octets), atomic_load(&connections),
           atomic_load(&resumed), atomic_load(&refused), atomic_load(&reads), atomic_load(&writes), spent);
    fflush(stdout);
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/* Obey one line of standard input; gives 0 at its end. */
static int control(void) {
    static double before;
    char line[128];
    if (!fgets(line, sizeof line, stdin)) return 0;
    if (strcmp(line, "counters\n") == 0) print_counters(cpu() - before);
    if (strncmp(line, "delay ", 6) == 0) atomic_store(&delay_micros, strtol(line + 6, NULL, 10));
    if (strcmp(line, "reset\n") == 0) {
        atomic_ullong *all[] = {&messages, &recipients_taken, &octets, &connections, &resumed, &refused, &reads, &writes};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) atomic_store(all[i], 0);
        before = cpu();
    }
    return 1;
}

static void prepare_tls(const char *key, const char *certificate) {
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        die("certificate");
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"sink", 4);
    SSL_CTX_set_read_ahead(context, 1); /* several records in one read of the socket */
    SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
}

int main(int count, char **arguments) {
    const char *key = NULL, *certificate = NULL;
    for (int option; (option = getopt(count, arguments, "s:k:c:m:")) != -1;) {
        if (option == 's') secret = optarg;
        else if (option == 'k') key = optarg;
        else if (option == 'c') certificate = optarg;
        else if (option == 'm') mode = strcmp(optarg, "tls") == 0 ? IMPLICIT : strcmp(optarg, "plain") == 0 ? PLAIN : STARTTLS;
        else return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (mode != PLAIN) prepare_tls(key ? key : "", certificate ? certificate : "");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1024) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see what fgets() has not taken */
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct pollfd wait[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    while (poll(wait, 2, -1) >= 0 || errno == EINTR) {
        if (wait[0].revents) start_session(listener);
        if (wait[1].revents && !control()) break;
    }
    return 0;
}
