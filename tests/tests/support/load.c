// A load that counts its own calls, so that a test can compare what it made with what was recorded.
//
// load DIR RESULT OPENERS STORMERS SECONDS CALLS PAUSE_US
//   OPENERS processes open and close DIR/there-N, and each 16th time DIR/absent-N, which fails
//   STORMERS processes fork a child, which executes this program again (DIR/load) and ends, and wait for it
//   until SECONDS are over or CALLS calls (forks) are made by each; PAUSE_US between them
// RESULT gets {"opens":N,"forks":N,"execs":N,"exits":N}: forks, execs and exits count the load's own processes, and the
// first exec of this program; opens count RESULT too. It is linked statically, so that no loader opens anything.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 64

struct counts {
    unsigned long opens, forks, execs, exits;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void open_files(const char *dir, int n, double end, unsigned long calls, unsigned pause, struct counts *counts)
{
    char there[4096], absent[4096];
    snprintf(there, sizeof there, "%s/there-%d", dir, n);
    snprintf(absent, sizeof absent, "%s/absent-%d", dir, n);
    for (unsigned long i = 0; i < calls && ((i & 255) || now() < end); i++) {
        int fd = open(i % 16 == 15 ? absent : there, O_RDONLY);
        counts->opens++;
        if (fd >= 0)
            close(fd);
        if (pause)
            usleep(pause);
    }
}

static void storm(const char *program, double end, unsigned long calls, unsigned pause, struct counts *counts)
{
    for (unsigned long i = 0; i < calls && now() < end; i++) {
        pid_t child = fork();
        if (child < 0)
            continue;
        if (child == 0) {
            execl(program, program, (char *)NULL);
            _exit(126);
        }
        int status = 0;
        waitpid(child, &status, 0);
        counts->forks++;
        counts->exits++;
        counts->execs += WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (pause)
            usleep(pause);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 0; // what the storm executes
    const char *dir = argv[1];
    int openers = atoi(argv[3]), stormers = atoi(argv[4]), workers = openers + stormers;
    double end = now() + atof(argv[5]);
    unsigned long calls = strtoul(argv[6], NULL, 10);
    unsigned pause = (unsigned)strtoul(argv[7], NULL, 10);
    struct counts sum = {1, 0, 1, 1};
    struct counts *counts =
        mmap(NULL, sizeof sum * WORKERS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED || workers > WORKERS_MAX)
        return 2;
    for (int n = 0; n < workers; n++) {
        pid_t child = fork();
        if (child < 0)
            return 2;
        if (child == 0) {
            char program[4096];
            snprintf(program, sizeof program, "%s/load", dir);
            if (n < openers)
                open_files(dir, n, end, calls, pause, &counts[n]);
            else
                storm(program, end, calls, pause, &counts[n]);
            _exit(0);
        }
        sum.forks++;
        sum.exits++;
    }
    while (wait(NULL) > 0)
        ;
    for (int n = 0; n < workers; n++) {
        sum.opens += counts[n].opens;
        sum.forks += counts[n].forks;
        sum.execs += counts[n].execs;
        sum.exits += counts[n].exits;
    }
    FILE *result = fopen(argv[2], "w");
    if (!result)
        return 2;
    fprintf(result, "{\"opens\":%lu,\"forks\":%lu,\"execs\":%lu,\"exits\":%lu}\n", sum.opens, sum.forks, sum.execs, sum.exits);
    return fclose(result) ? 2 : 0;
}
