/* Resolves a name and connects at once; prints the body of the answer.
 *
 * first NAME...
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fetch(const char *name) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int failed = getaddrinfo(name, "80", &hints, &found);
    if (failed) {
        fprintf(stderr, "%s: %s\n", name, gai_strerror(failed));
        return 1;
    }
    int connection = socket(found->ai_family, SOCK_STREAM, 0);
    if (connect(connection, found->ai_addr, found->ai_addrlen)) {
        perror(name);
        return 1;
    }
    char text[8192];
    int length = snprintf(text, sizeof text,
                          "GET / HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n", name);
    if (write(connection, text, length) != length) {
        perror(name);
        return 1;
    }
    size_t filled = 0;
    ssize_t more;
    while ((more = read(connection, text + filled, sizeof text - 1 - filled)) > 0)
        filled += more;
    text[filled] = 0;
    const char *body = strstr(text, "\r\n\r\n");
    fputs(body ? body + 4 : "nothing\n", stdout);
    close(connection);
    freeaddrinfo(found);
    return 0;
}

int main(int count, char **names) {
    int failed = 0;
    for (int number = 1; number < count; number++)
        failed |= fetch(names[number]);
    return failed;
}
