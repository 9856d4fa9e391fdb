/*
 * client: about the least an SMTP client can do, in C, as the ceiling the others are compared with.
 *
 * Blocking socket, STARTTLS with the certificate checked, AUTH XOAUTH2, one thread per connection. It composes
 * nothing, checks no address and understands no reply beyond its first digit.
 *
 * Prints one line of JSON: messages, seconds and client CPU seconds of the sending loop, median seconds per message.
 *
 * usage: client -p PORT -a CA.pem -s SECRET -f MESSAGE -w lockstep|pipelined|bdat -n MESSAGES
 *               [-u UNTIMED] [-c CONNECTIONS] [-1] [-r]
 *   -u  messages sent before the clock starts      -1  a new connection for every message
 *   -r  with -1: resume the TLS session
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum way { LOCKSTEP, PIPELINED, BDAT };

struct link {
    int fd;
    SSL *ssl;
    size_t size;
    char input[64 * 1024];
};

static SSL_CTX *context;
static SSL_SESSION *session; /* the last ticket; only used by one thread (-1) */
static enum way way = BDAT;
static int port, resume, each_new, connections = 1;
static long count = 1, untimed;
static const char *secret = "";
static char *body, *whole, *text; /* the message; envelope + BDAT + message; message + final dot */
static size_t body_size, whole_size, text_size;
static const char mail[] = "MAIL FROM:<sender@bench.example>\r\n", rcpt[] = "RCPT TO:<to@bench.example>\r\n";
static double *took; /* seconds of each timed message */
static pthread_barrier_t ready;

static void die(const char *what) {
    fprintf(stderr, "client: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void put(struct link *l, const char *data, size_t size) {
    while (size > 0) {
        size_t done = 0;
        if (l->ssl) {
            if (SSL_write_ex(l->ssl, data, size, &done) != 1) die("write");
        } else {
            ssize_t sent = send(l->fd, data, size, 0);
            if (sent <= 0) die("write");
            done = (size_t)sent;
        }
        data += done;
        size -= done;
    }
}

/* Read until `replies` replies have come, each positive, and nothing else. */
static void expect(struct link *l, int replies) {
    size_t line = 0;
    l->size = 0;
    for (;;) {
        for (char *feed; (feed = memchr(l->input + line, '\n', l->size - line)); line = (size_t)(feed + 1 - l->input)) {
            if (l->input[line] != '2' && l->input[line] != '3') die(l->input + line);
            if (l->input[line + 3] == ' ') replies--;
        }
        if (replies <= 0) break;
        size_t got = 0, room = sizeof l->input - 1 - l->size;
        if (l->ssl) {
            if (SSL_read_ex(l->ssl, l->input + l->size, room, &got) != 1) die("read");
        } else {
            ssize_t size = recv(l->fd, l->input + l->size, room, 0);
            if (size <= 0) die("read");
            got = (size_t)size;
        }
        l->size += got;
        l->input[l->size] = '\0';
    }
    if (replies < 0 || line != l->size) die("more replies than commands");
}

static void say(struct link *l, const char *line) {
    put(l, line, strlen(line));
    expect(l, 1);
}

static void sign_in(struct link *l) {
    char plain[4096], line[8192] = "AUTH XOAUTH2 ";
    int size = snprintf(plain, sizeof plain, "user=sender@bench.example\001auth=Bearer %s\001\001", secret);
    if (size >= (int)sizeof plain) die("secret too long");
    int encoded = EVP_EncodeBlock((unsigned char *)line + 13, (unsigned char *)plain, size);
    memcpy(line + 13 + encoded, "\r\n", 3);
    say(l, line);
}

static int keep_session(SSL *ssl, SSL_SESSION *ticket) {
    (void)ssl;
    if (session) SSL_SESSION_free(session);
    session = ticket;
    return 1;
}

static struct link *open_link(void) {
    struct link *l = calloc(1, sizeof *l);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int on = 1;
    if (!l || (l->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(l->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    expect(l, 1);
    say(l, "EHLO client\r\n");
    say(l, "STARTTLS\r\n");
    SSL *ssl = SSL_new(context);
    if (!ssl || SSL_set_fd(ssl, l->fd) != 1 || SSL_set_tlsext_host_name(ssl, "localhost") != 1 || SSL_set1_host(ssl, "localhost") != 1) die("TLS");
    if (resume && session) SSL_set_session(ssl, session);
    if (SSL_connect(ssl) != 1) die("handshake");
    l->ssl = ssl;
    say(l, "EHLO client\r\n");
    sign_in(l);
    return l;
}

static void close_link(struct link *l) {
    say(l, "QUIT\r\n");
    SSL_shutdown(l->ssl);
    SSL_free(l->ssl);
    close(l->fd);
    free(l);
}

static void send_message(struct link *l) {
    if (way == BDAT) {
        put(l, whole, whole_size);
        expect(l, 3);
        return;
    }
    if (way == PIPELINED) {
        char head[128];
        put(l, head, (size_t)snprintf(head, sizeof head, "%s%sDATA\r\n", mail, rcpt));
        expect(l, 3);
    } else {
        say(l, mail);
        say(l, rcpt);
        say(l, "DATA\r\n");
    }
    put(l, text, text_size);
    expect(l, 1);
}

static void send_once(struct link **l) {
    if (each_new) *l = open_link();
    send_message(*l);
    if (each_new) close_link(*l);
}

static void *run(void *argument) {
    long share = count / connections, first = (long)argument * share;
    struct link *l = each_new ? NULL : open_link();
    for (long i = 0; i < untimed / connections; i++) send_once(&l);
    pthread_barrier_wait(&ready);
    for (long i = 0; i < share; i++) {
        double start = now();
        send_once(&l);
        took[first + i] = now() - start;
    }
    pthread_barrier_wait(&ready);
    if (!each_new) close_link(l);
    return NULL;
}

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Read the message, and lay out what is written for each. The message holds no line that begins with a dot. */
static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) die("message");
    body_size = (size_t)ftell(file);
    rewind(file);
    body = malloc(body_size);
    whole = malloc(body_size + 256);
    text = malloc(body_size + 3);
    if (!body || !whole || !text || fread(body, 1, body_size, file) != body_size) die("message");
    fclose(file);
    if (memmem(body, body_size, "\r\n.", 3)) die("a line of the message begins with a dot");
    whole_size = (size_t)snprintf(whole, 256, "%s%sBDAT %zu LAST\r\n", mail, rcpt, body_size);
    memcpy(whole + whole_size, body, body_size);
    whole_size += body_size;
    memcpy(text, body, body_size);
    memcpy(text + body_size, ".\r\n", 3);
    text_size = body_size + 3;
}

static void options(int argc, char **argv) {
    const char *authority = "", *message = "";
    for (int option; (option = getopt(argc, argv, "p:a:s:f:w:n:u:c:1r")) != -1;) {
        if (option == 'p') port = atoi(optarg);
        else if (option == 'a') authority = optarg;
        else if (option == 's') secret = optarg;
        else if (option == 'f') message = optarg;
        else if (option == 'w') way = strcmp(optarg, "bdat") == 0 ? BDAT : strcmp(optarg, "pipelined") == 0 ? PIPELINED : LOCKSTEP;
        else if (option == 'n') count = atol(optarg);
        else if (option == 'u') untimed = atol(optarg);
        else if (option == 'c') connections = atoi(optarg);
        else if (option == '1') each_new = 1;
        else if (option == 'r') resume = 1;
        else exit(2);
    }
    if (each_new && connections != 1) die("-1 takes one connection");
    count -= count % connections;
    load(message);
    context = SSL_CTX_new(TLS_client_method());
    if (!context || SSL_CTX_load_verify_locations(context, authority, NULL) != 1) die("authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_session);
    }
}

int main(int argc, char **argv) {
    pthread_t threads[64];
    signal(SIGPIPE, SIG_IGN);
    options(argc, argv);
    took = calloc((size_t)count, sizeof *took);
    if (!took || connections > 64 || pthread_barrier_init(&ready, NULL, (unsigned)connections + 1) != 0) die("memory");
    for (long i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)i) != 0) die("thread");
    pthread_barrier_wait(&ready);
    double start = now(), spent = cpu();
    pthread_barrier_wait(&ready);
    double elapsed = now() - start;
    spent = cpu() - spent;
    for (int i = 0; i < connections; i++) pthread_join(threads[i], NULL);
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("{\"messages\": %ld, \"seconds\": %.6f, \"cpu\": %.6f, \"p50\": %.6f}\n", count, elapsed, spent, took[count / 2]);
    return 0;
}
