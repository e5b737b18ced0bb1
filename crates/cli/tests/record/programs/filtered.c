// Puts itself under a filter of system calls that ends it for those that few programs need: as a program before it
// becomes another one, as a library (-DLIBRARY) when it is loaded.
//
//   filtered PROGRAM [ARGUMENT…]
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define END_FOR(number)                                    \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),   \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    END_FOR(SYS_process_vm_readv),
    END_FOR(SYS_process_vm_writev),
    END_FOR(SYS_ptrace),
    END_FOR(SYS_perf_event_open),
    END_FOR(SYS_kcmp),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static struct sock_fprog rules = {sizeof filter / sizeof *filter, filter};

#ifdef LIBRARY
// libseccomp calls `syscall`, for all threads at once; others call `prctl`.
__attribute__((constructor)) static void loaded(void) {
    const char *way = getenv("FILTER_BY");
    int failed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (way && way[0] == 'p') failed |= prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &rules);
    else failed |= syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &rules);
    if (failed) {
        perror("filtered");
        _exit(2);
    }
}
#else
int main(int count, char **arguments) {
    if (count < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &rules) != 0) {
        perror("filtered");
        return 2;
    }
    execv(arguments[1], arguments + 1);
    perror("exec");
    return 2;
}
#endif
