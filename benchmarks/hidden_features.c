/* Answers the CPUID instructions of a library without some features of the processor:

       gcc -O2 -shared -fPIC -o hidden_features.so hidden_features.c
       HIDDEN_FEATURES=0:ecx:11,1:eax:4 LD_PRELOAD=./hidden_features.so python ...

   Each item is one bit of the answer of CPUID, leaf 7: subleaf, register, number of the bit. By
   these bits, libraries choose their instructions. In a copy of the library, UD0 stands in the
   place of each CPUID; both have two bytes. UD0 raises SIGILL, and the handler below answers
   without the hidden bits. No compiler writes UD0. */

#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static const char *const REGISTERS[] = {"eax", "ebx", "ecx", "edx"};
static unsigned hidden[2][4]; /* by subleaf and register */
unsigned answered[2][4]; /* the last answers of leaf 7, by subleaf and register */

static void answer(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *instruction = (const unsigned char *)registers[REG_RIP];
    if (info->si_addr != instruction || instruction[0] != 0x0f || instruction[1] != 0xff) {
        signal(number, SIG_DFL); /* Not a UD0: the fault occurs again and ends the process. */
        return;
    }
    unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], found[4];
    __cpuid_count(leaf, subleaf, found[0], found[1], found[2], found[3]);
    for (int i = 0; leaf == 7 && subleaf < 2 && i < 4; i++)
        answered[subleaf][i] = found[i] &= ~hidden[subleaf][i];
    registers[REG_RAX] = found[0];
    registers[REG_RBX] = found[1];
    registers[REG_RCX] = found[2];
    registers[REG_RDX] = found[3];
    registers[REG_RIP] += 2; /* the length of UD0 in bytes */
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
    if (sigaction(SIGILL, &action, NULL) != 0) {
        perror("HIDDEN_FEATURES");
        exit(2);
    }
}
