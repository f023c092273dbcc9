/* Stands in for bcryptprimitives.dll under Wine 8, which lacks it. Rust's std takes the keys of its hash maps from
   ProcessPrng; the older SystemFunction036 (RtlGenRandom) gives the same kind of bytes, 4 GiB - 1 at a time at most. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x10000000 ? 0x10000000 : (ULONG)length;
        if (!SystemFunction036(buffer, part))
            return FALSE;
        buffer += part;
        length -= part;
    }
    return TRUE;
}
