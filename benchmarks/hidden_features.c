/* Hides features of the processor from a process that preloads this library:

       gcc -O2 -shared -fPIC -o hidden_features.so hidden_features.c
       HIDDEN_FEATURES=0:ecx:11,1:eax:4 LD_PRELOAD=./hidden_features.so python ...

   Each item is one bit of the answer of CPUID, leaf 7: subleaf, register, number of the bit. By
   these bits, libraries choose their instructions. Linux on x86-64 can let CPUID fail ("cpuid_fault"
   in /proc/cpuinfo): each one then raises SIGSEGV, and the handler below answers without the hidden
   bits. New threads and forks inherit this; execve ends it and preloads this library again. */

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static const char *const REGISTERS[] = {"eax", "ebx", "ecx", "edx"};
static unsigned hidden[2][4]; /* by subleaf and register */

/* The C library has no function for this system call. */
static long allow_cpuid(int allowed) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

static void answer(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    /* After a jump to a wrong address, the address of the fault is that of the instruction. */
    if (info->si_addr == instruction || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(number, SIG_DFL); /* Not a CPUID: the fault occurs again and ends the process. */
        return;
    }
    unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], found[4];
    allow_cpuid(1);
    __cpuid_count(leaf, subleaf, found[0], found[1], found[2], found[3]);
    allow_cpuid(0);
    for (int i = 0; leaf == 7 && subleaf < 2 && i < 4; i++)
        found[i] &= ~hidden[subleaf][i];
    registers[REG_RAX] = found[0];
    registers[REG_RBX] = found[1];
    registers[REG_RCX] = found[2];
    registers[REG_RDX] = found[3];
    registers[REG_RIP] += 2; /* the length of CPUID in bytes */
}

static void read_bit(const char *item)
{
    unsigned subleaf, bit;
    char name[4];
    if (sscanf(item, "%u:%3[a-z]:%u", &subleaf, name, &bit) == 3 && subleaf < 2 && bit < 32)
        for (int i = 0; i < 4; i++)
            if (strcmp(name, REGISTERS[i]) == 0) {
                hidden[subleaf][i] |= 1u << bit;
                return;
            }
    fprintf(stderr, "HIDDEN_FEATURES: expected SUBLEAF:REGISTER:BIT: %s\n", item);
    exit(2);
}

__attribute__((constructor)) static void hide(void)
{
    const char *variable = getenv("HIDDEN_FEATURES");
    char *list = strdup(variable ? variable : "");
    for (char *rest = list, *item; (item = strsep(&rest, ",")) && *item;)
        read_bit(item);
    free(list);
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &action, NULL) != 0 || allow_cpuid(0) != 0) {
        perror("HIDDEN_FEATURES");
        exit(2);
    }
}

/* The answer of CPUID, leaf 7, as this process sees it. */
void read_features(unsigned subleaf, unsigned found[4])
{
    __cpuid_count(7, subleaf, found[0], found[1], found[2], found[3]);
}
