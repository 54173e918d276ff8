// minidns answers for the cluster domain of an offline kind cluster.
//
// CoreDNS is no Debian package, so the node image carries this program under the name that kubeadm asks for. Of the
// Kubernetes DNS specification 1.1.0 it has what a cluster for tests needs: A and SRV of ClusterIP and headless
// Services, a record for each hostname behind a headless one, also before it is ready where the Service says so, PTR of
// Services and endpoints, CNAME of ExternalName, and a-b-c-d.ns.pod. Every other name goes to the servers of
// /etc/resolv.conf. It is compiled in Debian's Kubernetes source, against the client-go and miekg/dns that are there.
package main

import (
	"flag"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const ttl = 30

type server struct {
	zone     string // "cluster.local."
	services listers.ServiceLister
	eps      listers.EndpointsLister
	svcIdx   cache.Indexer
	epIdx    cache.Indexer
	upstream []string
	ready    int32
}

func main() {
	zone := flag.String("zone", "cluster.local", "cluster domain")
	addr := flag.String("listen", ":53", "address to serve DNS on (UDP and TCP)")
	health := flag.String("health", ":8080", "address of /health, as kubeadm's Deployment probes it")
	ready := flag.String("ready", ":8181", "address of /ready, likewise")
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server; as a pod does unless given")
	_ = flag.String("conf", "", "what kubeadm's Deployment gives to CoreDNS; not read")
	klog.InitFlags(nil)
	flag.Parse()

	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	// It may start before kube-proxy has programmed the node: a dial is given up soon, and tried again.
	cfg.Dial = (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		klog.Fatal(err)
	}
	f := informers.NewSharedInformerFactory(client, 0)
	svcInf, epInf := f.Core().V1().Services(), f.Core().V1().Endpoints()
	must(svcInf.Informer().AddIndexers(cache.Indexers{"ip": func(o interface{}) ([]string, error) {
		s := o.(*v1.Service)
		if ip := net.ParseIP(s.Spec.ClusterIP); ip != nil {
			return []string{ip.String()}, nil
		}
		return nil, nil
	}}))
	must(epInf.Informer().AddIndexers(cache.Indexers{"ip": func(o interface{}) (ips []string, _ error) {
		for _, ss := range o.(*v1.Endpoints).Subsets {
			for _, a := range ss.Addresses {
				ips = append(ips, a.IP)
			}
		}
		return ips, nil
	}}))
	s := &server{
		zone:     dns.Fqdn(*zone),
		services: svcInf.Lister(), eps: epInf.Lister(),
		svcIdx: svcInf.Informer().GetIndexer(), epIdx: epInf.Informer().GetIndexer(),
	}
	if rc, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil {
		for _, h := range rc.Servers {
			s.upstream = append(s.upstream, net.JoinHostPort(h, rc.Port))
		}
	}
	stop := make(chan struct{})
	f.Start(stop)
	go func() {
		f.WaitForCacheSync(stop)
		atomic.StoreInt32(&s.ready, 1)
		klog.Infof("caches synced, serving %s, upstream %v", s.zone, s.upstream)
	}()

	go serveHTTP(*health, "/health", func() bool { return true })
	go serveHTTP(*ready, "/ready", func() bool { return atomic.LoadInt32(&s.ready) == 1 })

	dns.HandleFunc(".", s.handle)
	for _, n := range []string{"udp", "tcp"} {
		go func(n string) { klog.Fatal((&dns.Server{Addr: *addr, Net: n}).ListenAndServe()) }(n)
	}
	select {}
}

func must(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}

func serveHTTP(addr, path string, ok func() bool) {
	m := http.NewServeMux()
	m.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
		if !ok() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("OK"))
	})
	klog.Fatal(http.ListenAndServe(addr, m))
}

func (s *server) handle(w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeFormatError)
		_ = w.WriteMsg(m)
		return
	}
	name, qt := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	var answers, extra []dns.RR
	var found, authoritative bool
	switch {
	case name == s.zone || strings.HasSuffix(name, "."+s.zone):
		authoritative = true
		answers, extra, found = s.cluster(q.Question[0].Name, name, qt)
	case strings.HasSuffix(name, ".in-addr.arpa."):
		answers, found = s.reverse(q.Question[0].Name, name)
		authoritative = found
	}
	if !authoritative {
		s.forward(w, q)
		return
	}
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	m.Answer, m.Extra = answers, extra
	if !found {
		m.Rcode = dns.RcodeNameError
	}
	if len(answers) == 0 {
		m.Ns = []dns.RR{&dns.SOA{Hdr: hdr(s.zone, dns.TypeSOA), Ns: "ns.dns." + s.zone,
			Mbox: "hostmaster." + s.zone, Serial: uint32(time.Now().Unix()),
			Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl}}
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && m.Len() > room(q) {
		m.Truncated, m.Answer, m.Extra = true, nil, nil // ask again over TCP
	}
	_ = w.WriteMsg(m)
}

// room is how many bytes of answer the asker takes in a datagram.
func room(q *dns.Msg) int {
	if o := q.IsEdns0(); o != nil && o.UDPSize() > dns.MinMsgSize {
		return int(o.UDPSize())
	}
	return dns.MinMsgSize
}

func hdr(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
}

// target is one address a name stands for.
type target struct {
	host string // the leaf label of the address
	ip   string
	port int32
}

// cluster answers a name inside the cluster domain.
func (s *server) cluster(qname, name string, qt uint16) (ans, extra []dns.RR, found bool) {
	l := dns.SplitDomainName(strings.TrimSuffix(name, s.zone))
	n := len(l)
	if n == 0 {
		return nil, nil, true
	}
	switch l[n-1] {
	case "dns-version":
		if qt == dns.TypeTXT {
			ans = append(ans, &dns.TXT{Hdr: hdr(qname, qt), Txt: []string{"1.1.0"}})
		}
		return ans, nil, n == 1
	case "pod":
		if n != 3 {
			return nil, nil, n < 3
		}
		ip := net.ParseIP(strings.ReplaceAll(l[0], "-", "."))
		if ip == nil {
			return nil, nil, false
		}
		if qt == dns.TypeA {
			ans = append(ans, &dns.A{Hdr: hdr(qname, qt), A: ip})
		}
		return ans, nil, true
	case "svc":
	default:
		return nil, nil, false
	}
	if n < 3 { // "svc" and "ns.svc" are empty non-terminals
		return nil, nil, true
	}
	svc, err := s.services.Services(l[n-2]).Get(l[n-3])
	if err != nil {
		return nil, nil, false
	}
	base := svc.Name + "." + svc.Namespace + ".svc." + s.zone
	if svc.Spec.Type == v1.ServiceTypeExternalName {
		to := dns.Fqdn(svc.Spec.ExternalName)
		ans = append(ans, &dns.CNAME{Hdr: hdr(qname, dns.TypeCNAME), Target: to})
		if qt == dns.TypeA || qt == dns.TypeAAAA {
			ans = append(ans, s.chase(to, qt)...)
		}
		return ans, nil, n == 3
	}
	rest := l[:n-3]
	switch {
	case len(rest) == 0 || len(rest) == 1 && !strings.HasPrefix(rest[0], "_"):
		for _, t := range s.targets(svc, "", "") {
			if len(rest) == 1 && t.host != rest[0] {
				continue
			}
			found = true
			ip := net.ParseIP(t.ip)
			if qt == dns.TypeA && ip.To4() != nil {
				ans = append(ans, &dns.A{Hdr: hdr(qname, qt), A: ip.To4()})
			}
			if qt == dns.TypeAAAA && ip.To4() == nil {
				ans = append(ans, &dns.AAAA{Hdr: hdr(qname, qt), AAAA: ip})
			}
		}
		return unique(ans), nil, found || len(rest) == 0
	case len(rest) == 2 && strings.HasPrefix(rest[0], "_") && strings.HasPrefix(rest[1], "_"):
		for _, t := range s.targets(svc, rest[0][1:], rest[1][1:]) {
			found = true
			if qt != dns.TypeSRV {
				continue
			}
			to := t.host + "." + base
			if t.host == "" {
				to = base
			}
			ans = append(ans, &dns.SRV{Hdr: hdr(qname, qt), Priority: 0, Weight: 100,
				Port: uint16(t.port), Target: to})
			extra = append(extra, &dns.A{Hdr: hdr(to, dns.TypeA), A: net.ParseIP(t.ip)})
		}
		return ans, extra, found
	}
	return nil, nil, false
}

// targets lists what a Service stands for: its ClusterIP, or, headless, its
// endpoints.  port and proto, when given, choose the named port for SRV.
func (s *server) targets(svc *v1.Service, port, proto string) (out []target) {
	if svc.Spec.ClusterIP != v1.ClusterIPNone && svc.Spec.ClusterIP != "" {
		if port == "" {
			return []target{{ip: svc.Spec.ClusterIP}}
		}
		for _, p := range svc.Spec.Ports {
			if p.Name == port && strings.EqualFold(string(p.Protocol), proto) {
				out = append(out, target{ip: svc.Spec.ClusterIP, port: p.Port})
			}
		}
		return out
	}
	ep, err := s.eps.Endpoints(svc.Namespace).Get(svc.Name)
	if err != nil {
		return nil
	}
	for _, ss := range ep.Subsets {
		as := ss.Addresses
		if svc.Spec.PublishNotReadyAddresses {
			as = append(append([]v1.EndpointAddress{}, as...), ss.NotReadyAddresses...)
		}
		for _, a := range as {
			t := target{host: hostLabel(a), ip: a.IP}
			if port == "" {
				out = append(out, t)
				continue
			}
			for _, p := range ss.Ports {
				if p.Name == port && strings.EqualFold(string(p.Protocol), proto) {
					t.port = p.Port
					out = append(out, t)
				}
			}
		}
	}
	return out
}

func hostLabel(a v1.EndpointAddress) string {
	if a.Hostname != "" {
		return a.Hostname
	}
	return strings.ReplaceAll(a.IP, ".", "-")
}

func unique(in []dns.RR) (out []dns.RR) {
	seen := map[string]bool{}
	for _, r := range in {
		if !seen[r.String()] {
			seen[r.String()] = true
			out = append(out, r)
		}
	}
	return out
}

// reverse answers PTR questions about Service and endpoint addresses.
func (s *server) reverse(qname, name string) (ans []dns.RR, found bool) {
	p := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa."), ".")
	if len(p) != 4 {
		return nil, false
	}
	ip := p[3] + "." + p[2] + "." + p[1] + "." + p[0]
	add := func(host string) {
		ans = append(ans, &dns.PTR{Hdr: hdr(qname, dns.TypePTR), Ptr: host + ".svc." + s.zone})
	}
	if objs, _ := s.svcIdx.ByIndex("ip", ip); len(objs) > 0 {
		svc := objs[0].(*v1.Service)
		add(svc.Name + "." + svc.Namespace)
		return ans, true
	}
	objs, _ := s.epIdx.ByIndex("ip", ip)
	for _, o := range objs {
		ep := o.(*v1.Endpoints)
		for _, ss := range ep.Subsets {
			for _, a := range ss.Addresses {
				if a.IP == ip {
					add(hostLabel(a) + "." + ep.Name + "." + ep.Namespace)
				}
			}
		}
	}
	return unique(ans), len(ans) > 0
}

func (s *server) forward(w dns.ResponseWriter, q *dns.Msg) {
	netw := "udp"
	if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
		netw = "tcp"
	}
	if r := s.exchange(q, netw); r != nil {
		_ = w.WriteMsg(r)
		return
	}
	m := new(dns.Msg)
	m.SetRcode(q, dns.RcodeServerFailure)
	_ = w.WriteMsg(m)
}

func (s *server) exchange(q *dns.Msg, netw string) *dns.Msg {
	for _, u := range s.upstream {
		c := &dns.Client{Net: netw, Timeout: 3 * time.Second}
		if r, _, err := c.Exchange(q, u); err == nil {
			return r
		}
	}
	return nil
}

// chase resolves the target of an ExternalName Service.
func (s *server) chase(name string, qt uint16) []dns.RR {
	if strings.HasSuffix(name, "."+s.zone) {
		ans, _, _ := s.cluster(name, strings.ToLower(name), qt)
		return ans
	}
	m := new(dns.Msg)
	m.SetQuestion(name, qt)
	if r := s.exchange(m, "udp"); r != nil {
		return r.Answer
	}
	return nil
}
