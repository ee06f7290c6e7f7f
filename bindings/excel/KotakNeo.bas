Attribute VB_Name = "KotakNeo"
' Kotak Neo's trading API from VBA: log in, and get the JSON of every call.
'
'     KneoLoad "C:\Tools\kotak_neo.dll"
'     Dim client As LongPtr
'     client = KneoOpen("{""consumer_key"":""...""}")
'     Debug.Print KneoTotpLogin(client, "+919999999999", "ABC12", "123456")
'     Debug.Print KneoTotpValidate(client, "123456")
'     Dim feed As LongPtr, tick As KneoTick
'     feed = KneoFeedOpen(client)
'     KneoFeedSubscribe feed, "scrips", "nse_cm|11536"
'     If KneoFeedLast(feed, "nse_cm|11536", tick) Then Debug.Print tick.last_traded_price
'     KneoFeedClose feed
'     KneoClose client
'
' For 64-bit Office (VBA7). Text is UTF-8 in the library and UTF-16 in VBA; it is
' converted here, since VBA's own "ByVal String" would use the ANSI code page.
' The texts given back have tokens and personal data masked. A call that fails
' raises an error: Err.Number is KNEO_ERROR plus the status, Err.Description the
' message. A call blocks Excel until the answer is there or its deadline has passed.
Option Explicit

Public Const KNEO_OK As Long = 0
Public Const KNEO_INVALID_ARGUMENT As Long = 1
Public Const KNEO_REJECTED As Long = 5
Public Const KNEO_END As Long = 14

' Base of the error numbers. Those up to vbObjectError + 512 belong to COM.
Public Const KNEO_ERROR As Long = vbObjectError + 512

' Bits of KneoTick.valid: a field is there only if its bit is set.
Public Const KNEO_HAS_LAST_TRADED_PRICE As Long = 1
Public Const KNEO_HAS_NET_CHANGE_PERCENT As Long = 32
Public Const KNEO_HAS_BUY As Long = 512
Public Const KNEO_HAS_SELL As Long = 1024
Public Const KNEO_HAS_VOLUME As Long = 65536

' One price of a market feed: kneo_tick of kotak_neo.h, field by field.
Public Type KneoTick
    last_traded_price As Double
    open_price As Double
    high_price As Double
    low_price As Double
    close_price As Double
    average_trade_price As Double
    net_change As Double
    net_change_percent As Double
    upper_circuit_limit As Double
    lower_circuit_limit As Double
    yearly_high As Double
    yearly_low As Double
    total_traded_value As Double
    buy_price As Double
    sell_price As Double
    ref_price As Double
    multiplier As Double
    last_traded_price_raw As LongLong
    open_price_raw As LongLong
    high_price_raw As LongLong
    low_price_raw As LongLong
    close_price_raw As LongLong
    average_trade_price_raw As LongLong
    net_change_raw As LongLong
    upper_circuit_limit_raw As LongLong
    lower_circuit_limit_raw As LongLong
    yearly_high_raw As LongLong
    yearly_low_raw As LongLong
    buy_price_raw As LongLong
    sell_price_raw As LongLong
    ref_price_raw As LongLong
    last_trade_time As LongLong
    last_update_time As LongLong
    last_trade_qty As LongLong
    total_buy_quantity As LongLong
    total_sell_quantity As LongLong
    volume_traded_today As LongLong
    open_interest As LongLong
    buy_quantity As LongLong
    sell_quantity As LongLong
    imbalance_qty As LongLong
    imbalance_qty_at_market As LongLong
    market_lot As LongLong
    received_ns As LongLong
    age_us As LongLong
    sequence As LongLong
    replaced As LongLong
    valid As LongLong
    kind As Long
    exchange_id As Long
    token As Long
    divider As Long
    level As Long
    precision As Long
    auction As Long
    buy_orders As Long
    sell_orders As Long
    buy_rows As Long
    sell_rows As Long
    status_code As Long
    feed_state As Long
    close_code As Long
    state_changes As Long
    reserved As Long
    exchange_segment(0 To 7) As Byte
    trading_symbol(0 To 47) As Byte
    name(0 To 23) As Byte
End Type

Private Const CP_UTF8 As Long = 65001
Private Const LOAD_WITH_ALTERED_SEARCH_PATH As Long = 8

Private Declare PtrSafe Function kneo_version Lib "kotak_neo.dll" () As LongPtr
Private Declare PtrSafe Function kneo_live_handles Lib "kotak_neo.dll" () As Long
Private Declare PtrSafe Function kneo_shutdown Lib "kotak_neo.dll" (ByVal timeout_ms As Long) As Long
Private Declare PtrSafe Function kneo_response_status Lib "kotak_neo.dll" (ByVal response As LongPtr) As Long
Private Declare PtrSafe Function kneo_response_message Lib "kotak_neo.dll" (ByVal response As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_response_redacted Lib "kotak_neo.dll" (ByVal response As LongPtr) As LongPtr
Private Declare PtrSafe Sub kneo_response_free Lib "kotak_neo.dll" (ByVal response As LongPtr)
Private Declare PtrSafe Function kneo_client_open Lib "kotak_neo.dll" (ByVal config As LongPtr, ByRef out As LongPtr) As LongPtr
Private Declare PtrSafe Sub kneo_client_free Lib "kotak_neo.dll" (ByVal client As LongPtr)
Private Declare PtrSafe Function kneo_totp_login Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal mobile_number As LongPtr, ByVal ucc As LongPtr, ByVal totp As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_totp_validate Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal mpin As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_login Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal mobile_number As LongPtr, ByVal user_id As LongPtr, ByVal pan As LongPtr, ByVal password As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_session_2fa Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal otp As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_client_halt Lib "kotak_neo.dll" (ByVal client As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_ledger_open_intents Lib "kotak_neo.dll" (ByVal ledger_file As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_session_info Lib "kotak_neo.dll" (ByVal client As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_logout Lib "kotak_neo.dll" (ByVal client As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_feed_open Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal options As LongPtr, ByRef out As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_feed_subscribe Lib "kotak_neo.dll" (ByVal feed As LongPtr, ByVal kind As LongPtr, ByVal tokens As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_feed_next Lib "kotak_neo.dll" (ByVal feed As LongPtr, ByVal timeout_ms As Long) As LongPtr
Private Declare PtrSafe Function kneo_feed_last Lib "kotak_neo.dll" (ByVal feed As LongPtr, ByVal instrument As LongPtr, ByVal out As LongPtr, ByVal tick_size As LongPtr) As Long
Private Declare PtrSafe Function kneo_feed_status Lib "kotak_neo.dll" (ByVal feed As LongPtr) As LongPtr
Private Declare PtrSafe Sub kneo_feed_free Lib "kotak_neo.dll" (ByVal feed As LongPtr)
Private Declare PtrSafe Function kneo_order_feed_open Lib "kotak_neo.dll" (ByVal client As LongPtr, ByVal options As LongPtr, ByRef out As LongPtr) As LongPtr
Private Declare PtrSafe Function kneo_order_feed_next Lib "kotak_neo.dll" (ByVal feed As LongPtr, ByVal timeout_ms As Long) As LongPtr
Private Declare PtrSafe Sub kneo_order_feed_free Lib "kotak_neo.dll" (ByVal feed As LongPtr)

Private Declare PtrSafe Function LoadLibraryExW Lib "kernel32" (ByVal lpLibFileName As LongPtr, ByVal hFile As LongPtr, ByVal dwFlags As Long) As LongPtr
Private Declare PtrSafe Function lstrlenA Lib "kernel32" (ByVal lpString As LongPtr) As Long
Private Declare PtrSafe Function WideCharToMultiByte Lib "kernel32" (ByVal CodePage As Long, ByVal dwFlags As Long, ByVal lpWideCharStr As LongPtr, ByVal cchWideChar As Long, ByVal lpMultiByteStr As LongPtr, ByVal cbMultiByte As Long, ByVal lpDefaultChar As LongPtr, ByVal lpUsedDefaultChar As LongPtr) As Long
Private Declare PtrSafe Function MultiByteToWideChar Lib "kernel32" (ByVal CodePage As Long, ByVal dwFlags As Long, ByVal lpMultiByteStr As LongPtr, ByVal cbMultiByte As Long, ByVal lpWideCharStr As LongPtr, ByVal cchWideChar As Long) As Long

' Loads the library from its full path, so that the declarations above find it
' wherever it is. Call this first.
Public Sub KneoLoad(ByVal path As String)
    If LoadLibraryExW(StrPtr(path), 0, LOAD_WITH_ALTERED_SEARCH_PATH) = 0 Then
        Err.Raise 53, "kotak_neo", "Cannot load " & path
    End If
End Sub

Public Function KneoVersion() As String
    KneoVersion = FromUtf8(kneo_version())
End Function

' How many handles are not freed yet.
Public Function KneoLiveHandles() As Long
    KneoLiveHandles = kneo_live_handles()
End Function

' Ends every thread of the library and every client. True when all ended in time.
Public Function KneoShutdown(ByVal timeout_ms As Long) As Boolean
    KneoShutdown = (kneo_shutdown(timeout_ms) = KNEO_OK)
End Function

' Opens a client with a configuration in JSON; "" means all defaults.
Public Function KneoOpen(ByVal config As String) As LongPtr
    Dim a() As Byte
    Dim client As LongPtr
    a = ToUtf8("config", config)
    Take kneo_client_open(VarPtr(a(0)), client)
    KneoOpen = client
End Function

' Frees a client. 0 and a client that is freed already do nothing.
Public Sub KneoClose(ByVal client As LongPtr)
    kneo_client_free client
End Sub

Public Function KneoTotpLogin(ByVal client As LongPtr, ByVal mobile_number As String, ByVal ucc As String, ByVal totp As String) As String
    Dim a() As Byte, b() As Byte, c() As Byte
    a = ToUtf8("mobile_number", mobile_number)
    b = ToUtf8("ucc", ucc)
    c = ToUtf8("totp", totp)
    KneoTotpLogin = Take(kneo_totp_login(client, VarPtr(a(0)), VarPtr(b(0)), VarPtr(c(0))))
End Function

Public Function KneoTotpValidate(ByVal client As LongPtr, ByVal mpin As String) As String
    Dim a() As Byte
    a = ToUtf8("mpin", mpin)
    KneoTotpValidate = Take(kneo_totp_validate(client, VarPtr(a(0))))
End Function

' The password login by mobile number. User id and PAN are not given: NULL.
Public Function KneoLogin(ByVal client As LongPtr, ByVal mobile_number As String, ByVal password As String) As String
    Dim a() As Byte, b() As Byte
    a = ToUtf8("mobile_number", mobile_number)
    b = ToUtf8("password", password)
    KneoLogin = Take(kneo_login(client, VarPtr(a(0)), 0, 0, VarPtr(b(0))))
End Function

Public Function KneoSession2fa(ByVal client As LongPtr, ByVal otp As String) As String
    Dim a() As Byte
    a = ToUtf8("otp", otp)
    KneoSession2fa = Take(kneo_session_2fa(client, VarPtr(a(0))))
End Function

' The kill switch: nothing but cancels leaves this client from now on.
Public Function KneoHalt(ByVal client As LongPtr) As String
    KneoHalt = Take(kneo_client_halt(client))
End Function

' What is open in a ledger file, whoever has it.
Public Function KneoLedgerOpenIntents(ByVal ledger_file As String) As String
    Dim a() As Byte
    a = ToUtf8("ledger_file", ledger_file)
    KneoLedgerOpenIntents = Take(kneo_ledger_open_intents(VarPtr(a(0))))
End Function

Public Function KneoSessionInfo(ByVal client As LongPtr) As String
    KneoSessionInfo = Take(kneo_session_info(client))
End Function

Public Function KneoLogout(ByVal client As LongPtr) As String
    KneoLogout = Take(kneo_logout(client))
End Function

' Opens the market feed. It connects in the background, and again when the
' connection ends, until KneoFeedClose.
Public Function KneoFeedOpen(ByVal client As LongPtr) As LongPtr
    Dim feed As LongPtr
    Take kneo_feed_open(client, 0, feed)
    KneoFeedOpen = feed
End Function

Public Sub KneoFeedClose(ByVal feed As LongPtr)
    kneo_feed_free feed
End Sub

' kind is "scrips", "index" and so on, tokens like "nse_cm|11536,nse_cm|2885".
Public Function KneoFeedSubscribe(ByVal feed As LongPtr, ByVal kind As String, ByVal tokens As String) As String
    Dim a() As Byte, b() As Byte
    a = ToUtf8("kind", kind)
    b = ToUtf8("tokens", tokens)
    KneoFeedSubscribe = Take(kneo_feed_subscribe(feed, VarPtr(a(0)), VarPtr(b(0))))
End Function

' The next price or state as JSON; "" if none came in time. Excel does nothing
' else meanwhile: wait 0 milliseconds, and call it again later.
Public Function KneoFeedNext(ByVal feed As LongPtr, ByVal timeout_ms As Long) As String
    KneoFeedNext = TakeEvent(kneo_feed_next(feed, timeout_ms))
End Function

' The newest price of an instrument, without waiting; False if none came yet. Look
' at tick.age_us: it may be old.
Public Function KneoFeedLast(ByVal feed As LongPtr, ByVal instrument As String, ByRef tick As KneoTick) As Boolean
    Dim a() As Byte
    Dim found As Long
    a = ToUtf8("instrument", instrument)
    found = kneo_feed_last(feed, VarPtr(a(0)), VarPtr(tick), LenB(tick))
    If found < 0 Then Err.Raise KNEO_ERROR - found, "kotak_neo", "KneoFeedLast: status " & -found
    KneoFeedLast = (found = 1)
End Function

' Whether a field of a tick is there: KneoHas(tick, KNEO_HAS_BUY).
Public Function KneoHas(ByRef tick As KneoTick, ByVal bit As Long) As Boolean
    KneoHas = (tick.valid And bit) <> 0
End Function

' How the feed is, and why, as JSON.
Public Function KneoFeedStatus(ByVal feed As LongPtr) As String
    KneoFeedStatus = Take(kneo_feed_status(feed))
End Function

' The order feed: what happens to orders and positions, as JSON.
Public Function KneoOrderFeedOpen(ByVal client As LongPtr) As LongPtr
    Dim feed As LongPtr
    Take kneo_order_feed_open(client, 0, feed)
    KneoOrderFeedOpen = feed
End Function

Public Sub KneoOrderFeedClose(ByVal feed As LongPtr)
    kneo_order_feed_free feed
End Sub

' The next event; "" if none came in time.
Public Function KneoOrderFeedNext(ByVal feed As LongPtr, ByVal timeout_ms As Long) As String
    KneoOrderFeedNext = TakeEvent(kneo_order_feed_next(feed, timeout_ms))
End Function

' Logs in with TOTP and shows each answer in the Immediate window. The library
' lies beside the workbook; the rest is in the environment or asked for.
Public Sub KneoDemo()
    Dim client As LongPtr
    Dim number As Long, description As String
    KneoLoad ThisWorkbook.path & "\kotak_neo.dll"
    On Error GoTo Failed
    client = KneoOpen(Ask("KNEO_CONFIG", "Configuration (JSON)"))
    Debug.Print KneoTotpLogin(client, Ask("KNEO_MOBILE_NUMBER", "Mobile number"), Ask("KNEO_UCC", "UCC"), Ask("KNEO_TOTP", "TOTP"))
    Debug.Print KneoTotpValidate(client, Ask("KNEO_MPIN", "MPIN"))
    Debug.Print KneoSessionInfo(client)
    Debug.Print KneoLogout(client)
Done:
    KneoClose client
    Debug.Print "live handles: " & KneoLiveHandles()
    Exit Sub
Failed:
    number = Err.Number
    description = Err.Description
    Debug.Print "status " & (number - KNEO_ERROR) & ": " & description
    Resume Done
End Sub

' Ten seconds of live prices in the first cells of the active sheet: symbol, last
' price, age in seconds.
Public Sub KneoFeedDemo()
    Dim client As LongPtr, feed As LongPtr
    Dim tick As KneoTick
    Dim instrument As Variant, row As Long, finish As Double
    Dim number As Long, description As String
    KneoLoad ThisWorkbook.path & "\kotak_neo.dll"
    On Error GoTo Failed
    client = KneoOpen(Ask("KNEO_CONFIG", "Configuration (JSON)"))
    KneoTotpLogin client, Ask("KNEO_MOBILE_NUMBER", "Mobile number"), Ask("KNEO_UCC", "UCC"), Ask("KNEO_TOTP", "TOTP")
    KneoTotpValidate client, Ask("KNEO_MPIN", "MPIN")
    feed = KneoFeedOpen(client)
    KneoFeedSubscribe feed, "scrips", "nse_cm|11536,nse_cm|2885"
    KneoFeedSubscribe feed, "index", "nse_cm|Nifty 50"
    finish = Now + TimeSerial(0, 0, 10)
    Do While Now < finish
        row = 0
        For Each instrument In Array("nse_cm|11536", "nse_cm|2885", "nse_cm|Nifty 50")
            row = row + 1
            ActiveSheet.Cells(row, 1).Value = instrument
            If KneoFeedLast(feed, instrument, tick) Then
                If KneoHas(tick, KNEO_HAS_LAST_TRADED_PRICE) Then ActiveSheet.Cells(row, 2).Value = tick.last_traded_price
                ActiveSheet.Cells(row, 3).Value = tick.age_us / 1000000
            End If
        Next instrument
        DoEvents
    Loop
    Debug.Print KneoFeedStatus(feed)
Done:
    KneoFeedClose feed
    KneoClose client
    Debug.Print "live handles: " & KneoLiveHandles()
    Exit Sub
Failed:
    number = Err.Number
    description = Err.Description
    Debug.Print "status " & (number - KNEO_ERROR) & ": " & description
    Resume Done
End Sub

Private Function Ask(ByVal variable As String, ByVal label As String) As String
    Ask = Environ$(variable)
    If Len(Ask) = 0 Then Ask = InputBox(label, "Kotak Neo")
End Function

' Reads an event, as Take; "" where a wait ended with nothing.
Private Function TakeEvent(ByVal response As LongPtr) As String
    If kneo_response_status(response) = KNEO_END Then
        kneo_response_free response
    Else
        TakeEvent = Take(response)
    End If
End Function

' Reads a response and frees it. Raises an error unless the call was KNEO_OK.
Private Function Take(ByVal response As LongPtr) As String
    Dim status As Long, message As String
    status = kneo_response_status(response)
    message = FromUtf8(kneo_response_message(response))
    Take = FromUtf8(kneo_response_redacted(response))
    kneo_response_free response
    If status <> KNEO_OK Then Err.Raise KNEO_ERROR + status, "kotak_neo", message
End Function

' A text as UTF-8 bytes that end with NUL.
Private Function ToUtf8(ByVal argument As String, ByVal text As String) As Byte()
    Dim bytes() As Byte
    Dim size As Long
    If InStr(1, text, vbNullChar, vbBinaryCompare) > 0 Then
        Err.Raise KNEO_ERROR + KNEO_INVALID_ARGUMENT, "kotak_neo", argument & ": contains a NUL character"
    End If
    If Len(text) > 0 Then
        size = WideCharToMultiByte(CP_UTF8, 0, StrPtr(text), Len(text), 0, 0, 0, 0)
        ReDim bytes(0 To size)
        WideCharToMultiByte CP_UTF8, 0, StrPtr(text), Len(text), VarPtr(bytes(0)), size, 0, 0
    Else
        ReDim bytes(0 To 0) ' StrPtr may be 0 here
    End If
    ToUtf8 = bytes
End Function

' A copy of the UTF-8 text at an address.
Private Function FromUtf8(ByVal address As LongPtr) As String
    Dim text As String
    Dim bytes As Long, size As Long
    bytes = lstrlenA(address)
    If bytes = 0 Then Exit Function
    size = MultiByteToWideChar(CP_UTF8, 0, address, bytes, 0, 0)
    text = String$(size, vbNullChar)
    MultiByteToWideChar CP_UTF8, 0, address, bytes, StrPtr(text), size
    FromUtf8 = text
End Function
